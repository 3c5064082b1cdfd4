#include "loader/intercept.h"

#include <cassert>
#include <cstdarg>
#include <cstdio>
#include <fcntl.h>
#include <sys/syscall.h>

#include "loader/files.h"
#include "loader/proxy.h"

namespace {
bpfman::Proxy* proxyInForce = nullptr;
const bpfman::Files* filesInForce = nullptr;
}  // namespace

namespace bpfman {

Interception::Interception(Proxy& proxy, const Files& files) {
  assert(!proxyInForce);
  proxyInForce = &proxy;
  filesInForce = &files;
}

Interception::~Interception() {
  proxyInForce = nullptr;
  filesInForce = nullptr;
}

}  // namespace bpfman

extern "C" {

long __real_syscall(long number, ...);
int __real_open(const char* path, int flags, ...);
int __real_open64(const char* path, int flags, ...);
FILE* __real_fopen(const char* path, const char* mode);
FILE* __real_fopen64(const char* path, const char* mode);
int __real_access(const char* path, int mode);
int __real_faccessat(int directory, const char* path, int mode, int flags);

long __wrap_syscall(long number, ...) {
  va_list list;
  va_start(list, number);
  long a[6];
  for (long& argument : a) argument = va_arg(list, long);
  va_end(list);
  if (number == SYS_bpf && proxyInForce) return proxyInForce->call(static_cast<int>(a[0]), reinterpret_cast<bpf_attr*>(a[1]), a[2]);
  return __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

int __wrap_open(const char* path, int flags, int mode) { return filesInForce ? filesInForce->open(path) : __real_open(path, flags, mode); }
int __wrap_open64(const char* path, int flags, int mode) {
  return filesInForce ? filesInForce->open(path) : __real_open64(path, flags, mode);
}
FILE* __wrap_fopen(const char* path, const char* mode) { return filesInForce ? filesInForce->openStream(path) : __real_fopen(path, mode); }
FILE* __wrap_fopen64(const char* path, const char* mode) {
  return filesInForce ? filesInForce->openStream(path) : __real_fopen64(path, mode);
}
int __wrap_access(const char* path, int mode) { return filesInForce ? filesInForce->access(path) : __real_access(path, mode); }
int __wrap_faccessat(int directory, const char* path, int mode, int flags) {
  return filesInForce ? filesInForce->access(path) : __real_faccessat(directory, path, mode, flags);
}

}  // extern "C"
