// Times of one operation, and the tables that are made of them.
#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace bpfman::bench {

class Samples {
 public:
  void add(double microseconds) { times.push_back(microseconds); }
  double median() const { return at(0.5); }
  double p95() const { return at(0.95); }
  bool empty() const { return times.empty(); }

 private:
  std::vector<double> times;

  double at(double part) const;  // nearest rank; 0 without samples
};

template <typename Work>
double microsecondsOf(Work&& work) {
  auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin).count();
}

// An aim is printed with what was measured, and never fails the run: whose machine it is decides how fast it is.
std::string verdict(double measured, double aim, const char* unit);

struct Row {
  std::string what;
  Samples ours, direct;
  double aim = 0;  // ours / direct at most; 0: none
};

void printHeading(const std::string& title);
void printColumns();  // of printRow
void printRow(const Row& row);

}  // namespace bpfman::bench
