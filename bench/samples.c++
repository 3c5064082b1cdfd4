#include "bench/samples.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace bpfman::bench {

double Samples::at(double part) const {
  if (times.empty()) return 0;
  auto sorted = times;
  std::sort(sorted.begin(), sorted.end());
  return sorted[static_cast<size_t>(std::ceil(part * sorted.size())) - 1];
}

std::string verdict(double measured, double aim, const char* unit) {
  char text[96];
  snprintf(text, sizeof text, "%.2f%s, aim %g%s: %s", measured, unit, aim, unit, measured <= aim ? "reached" : "MISSED");
  return text;
}

void printHeading(const std::string& title) { printf("\n%s\n", title.c_str()); }

void printColumns() { printf("  %-34s %10s %10s   %10s %10s   %s\n", "microseconds", "bpfman", "p95", "libbpf", "p95", "ratio"); }

void printRow(const Row& row) {
  printf("  %-34s %10.1f %10.1f", row.what.c_str(), row.ours.median(), row.ours.p95());
  if (row.direct.empty()) {
    printf("   %10s %10s\n", "-", "-");
    return;
  }
  double ratio = row.ours.median() / row.direct.median();
  printf("   %10.1f %10.1f   ", row.direct.median(), row.direct.p95());
  if (row.aim > 0)
    printf("%s\n", verdict(ratio, row.aim, "x").c_str());
  else
    printf("%.2fx\n", ratio);
  fflush(stdout);
}

}  // namespace bpfman::bench
