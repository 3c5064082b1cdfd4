// The sub-commands, one function for each group: it adds the grammar to `app`, and when the arguments choose one of its commands it
// puts what is to be done into `chosen`. The older grammar (bpfman 0.6) uses the same functions under other parents.
#pragma once

#include "cli/session.h"

namespace bpfman {

// How the words of a command are told apart: by their place, or (bpfman 0.6) also by an option.
enum class Words { byPlace, byOption };

schema::Program::Client findProgram(Session& session, uint32_t id);
// Fails with "program N does not exist", also when someone else was quicker.

void addProgramLoad(CLI::App& app, Words words, Command& chosen);  // file PATH
void addProgramList(CLI::App& app, const char* name, Command& chosen);
void addProgramGet(CLI::App& app, const char* name, Command& chosen);
void addProgramUnload(CLI::App& app, Command& chosen);
void addProgramDelete(CLI::App& app, Command& chosen);
void addProgramTake(CLI::App& app, Command& chosen);
void addProgramSet(CLI::App& app, Command& chosen);  // set, variables
void addProgramRun(CLI::App& app, Command& chosen);

void addAttachKinds(CLI::App& app, Words words, Command& chosen);  // byOption: `attach ID xdp`
void addLinkList(CLI::App& app, const char* name, Command& chosen);
void addLinkGet(CLI::App& app, const char* name, Command& chosen);
void addLinkDetach(CLI::App& app, const char* name, Command& chosen);

void addLinkRead(CLI::App& app, Command& chosen);

void addPlanKinds(CLI::App& parent, Command& chosen);
void addDispatcher(CLI::App& app, Command& chosen);
void addPolicy(CLI::App& app, Command& chosen);
void addOverview(CLI::App& app, Command& chosen);
void addAudit(CLI::App& app, Command& chosen);
void addToken(CLI::App& app, Command& chosen);  // create, list, withdraw, forget
void addVersion(CLI::App& app, Command& chosen);

// Changes of several links at once, and those that wait to be confirmed (change.c++).
using FillStep = std::function<void(schema::ChangeStep::Builder)>;
struct ChangeOptions {
  std::string confirmWithin, output = "text";
};
std::vector<FillStep> detachSteps(const std::vector<uint32_t>& ids);  // link.c++
int carryOut(Session& session, const std::vector<FillStep>& steps, const ChangeOptions& options);
uint32_t secondsFrom(const std::string& confirmWithin);  // "": 0
void addConfirmWithin(CLI::App& app, std::string& confirmWithin);
void printWaiting(std::ostream& out, capnp::List<schema::WaitingChange>::Reader changes);
void addAttachSteps(CLI::App& app, std::vector<FillStep>& steps, Command& chosen);
void addLinkUpdate(CLI::App& app, Command& chosen);  // update, pause, resume
void addChange(CLI::App& app, Command& chosen);      // apply, list
void addConfirm(CLI::App& app, Command& chosen);     // confirm, revert
void addProgramUpdate(CLI::App& app, Command& chosen);

// Words of upstream's grammar for what this version cannot do: an error that says so instead of "unexpected argument".
void addUnsupported(CLI::App& app, const char* name, const char* instead, Command& chosen);

}  // namespace bpfman
