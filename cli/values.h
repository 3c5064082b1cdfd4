// What stands in the arguments, taken apart. Every error names the argument and shows what was expected.
#pragma once

#include "schema/bpfman.capnp.h"

#include <kj/time.h>

#include <string>
#include <utility>
#include <vector>

namespace bpfman {

struct WantedProgram {
  schema::ProgramType type;
  std::string name, attachTo;
  bool infer = false;  // the type is what the section says
};
using Pair = std::pair<std::string, std::string>;

std::vector<std::string> split(const std::string& list, char separator = ',');  // empty pieces are left out
std::vector<std::string> splitAll(const std::vector<std::string>& lists);       // of an option that may be repeated

std::vector<WantedProgram> parsePrograms(const std::vector<std::string>& items);     // [TYPE:]NAME[:ATTACH_FUNC][,…]
Pair parsePair(const std::string& text, const char* option);                         // KEY=VALUE
Pair parseTyped(const std::string& text);                                            // NAME=VALUE, a variable as JSON
std::pair<std::string, std::vector<kj::byte>> parseGlobal(const std::string& text);  // NAME=HEX

std::vector<kj::byte> parseBytes(const std::string& text, const char* option);  // HEX

std::pair<std::string, uint32_t> parseMapSize(const std::string& text);  // NAME=ENTRIES

kj::Duration parseDuration(const std::string& text);  // "500ms", "30s", "1m30s", "2h"

// Into the message that is about to be sent.
void putGlobals(capnp::List<schema::Global>::Builder list, const std::vector<std::string>& bytes, const std::vector<std::string>& typed);
void putSignatures(capnp::List<schema::Signature>::Builder list, const std::vector<std::string>& files, const std::string& keyring);
void put(capnp::List<schema::KeyValue>::Builder list, const std::vector<std::string>& pairs, const char* option);
void put(capnp::List<capnp::Text>::Builder list, const std::vector<std::string>& words);

}  // namespace bpfman
