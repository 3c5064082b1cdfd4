// The text output: tables and indented sheets.
#pragma once

#include "schema/bpfman.capnp.h"

#include <ostream>
#include <string>
#include <utility>
#include <vector>

namespace bpfman {

// Columns as wide as their widest cell, two spaces apart, nothing behind the last.
class Table {
 public:
  explicit Table(std::vector<std::string> headers) : rows{std::move(headers)} {}

  void row(std::vector<std::string> cells) { rows.push_back(std::move(cells)); }
  void elideIfEmpty(size_t column);  // takes the column away when no row has anything in it
  void print(std::ostream& out, const std::string& indent = "") const;

 private:
  std::vector<std::vector<std::string>> rows;  // the headers first
};

using Fields = std::vector<std::pair<std::string, std::string>>;

void printFields(std::ostream& out, const std::string& indent, const Fields& fields);  // "Key:   value", values aligned

void printProgram(std::ostream& out, schema::ProgramDetails::Reader details);
void printPrograms(std::ostream& out, const std::vector<schema::ProgramEntry::Reader>& entries);
void printLink(std::ostream& out, schema::LinkDetails::Reader details);
void printLinks(std::ostream& out, capnp::List<schema::LinkRecord>::Reader records);
void printDispatcher(std::ostream& out, schema::Dispatcher::Reader dispatcher);
void printPlan(std::ostream& out, const char* title, capnp::List<schema::Planned>::Reader members);
void printDispatchers(std::ostream& out, capnp::List<schema::Dispatcher>::Reader dispatchers);

}  // namespace bpfman
