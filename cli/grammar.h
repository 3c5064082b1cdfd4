// The whole grammar of the command, and the abbreviations that a parser cannot express.
#pragma once

#include "cli/session.h"

#include <string>
#include <vector>

namespace bpfman {

// Writes out what may be left out: `program`, `link` and `dispatcher` without a verb mean list, `program load PATH` means
// `program load file PATH`, and `help X Y` means `X Y --help`.
std::vector<std::string> spellOut(std::vector<std::string> arguments);

// The index of the first argument that is neither a global option nor a global option's value.
size_t firstWord(const std::vector<std::string>& arguments, size_t from = 0);

// What to say when the arguments end before a command is chosen.
std::string incomplete(const CLI::App& app);

// For these arguments, spelled out: of commands that they can't mean no more than the names.
void addGrammar(CLI::App& app, Globals& globals, Command& chosen, const std::vector<std::string>& arguments);

}  // namespace bpfman
