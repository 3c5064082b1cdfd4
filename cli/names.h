// The words of the command line for the schema's enums and for verdicts, in both directions. Unknown words are errors that list the
// known ones.
#pragma once

#include "schema/bpfman.capnp.h"

#include <string>
#include <vector>

namespace bpfman {

const char* nameOf(schema::ProgramType type);  // "xdp", "tcx", "raw_tp", …
const char* nameOf(schema::Direction direction);
const char* nameOf(schema::Counting counting);
std::string verdictName(schema::ProgramType type, int32_t verdict);  // of XDP or TC: "pass"; an unknown one as its number
std::string verdictNames(schema::ProgramType type, capnp::List<int32_t>::Reader verdicts);  // "pass,dispatcher_return"
std::string verdictNamesOfMask(schema::ProgramType type, uint32_t mask);

enum class Fate { dropped, redirected, other };
Fate fateOf(schema::ProgramType type, int32_t verdict);  // of a packet whose last verdict it was, on XDP or TC

schema::ProgramType parseType(const std::string& word);

// The words of a filter by type, with their synonyms: the daemon's own word, and with `foreign` the kernel's, by which programs that
// bpfman did not load are known ("tc" is also "schedcls").
std::vector<std::string> typeFilter(const std::vector<std::string>& words, bool foreign);

schema::Direction parseDirection(const std::string& word);
schema::Counting parseCounting(const std::string& word);
int32_t parseVerdict(schema::ProgramType type, const std::string& word);  // a name or a number 0 .. 31

}  // namespace bpfman
