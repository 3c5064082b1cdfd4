#include "worker/die.h"

#include <cstdarg>
#include <cstdio>
#include <unistd.h>

namespace bpfman {

static void vlog(const char* format, va_list arguments) {
  char line[512];
  int length = vsnprintf(line, sizeof line - 1, format, arguments);
  if (length < 0) return;
  if (length > static_cast<int>(sizeof line) - 2) length = sizeof line - 2;
  line[length] = '\n';
  (void)!write(STDERR_FILENO, line, length + 1);
}

void logLine(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vlog(format, arguments);
  va_end(arguments);
}

void die(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vlog(format, arguments);
  va_end(arguments);
  _exit(70);
}

}  // namespace bpfman
