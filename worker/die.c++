#include "worker/die.h"

#include <cstdarg>
#include <cstdio>
#include <unistd.h>

namespace bpfman {

void die(const char* format, ...) {
  char line[512];
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(line, sizeof line - 1, format, arguments);
  va_end(arguments);
  length = length < 0 ? 0 : length > static_cast<int>(sizeof line) - 2 ? static_cast<int>(sizeof line) - 2 : length;
  line[length] = '\n';
  (void)!write(STDERR_FILENO, line, length + 1);
  _exit(70);
}

}  // namespace bpfman
