// bpfman program load and update: an object file is read here, with the rights of whoever calls, and travels as a sealed memfd.
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/text.h"
#include "cli/values.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iostream>
#include <memory>

namespace bpfman {
namespace {

struct LoadArguments {
  std::string path, application, engine, output = "text";
  std::vector<std::string> programs, alternatives, globals, typed, metadata, mapSizes;
  std::vector<std::string> signatures;
  std::string btf, keyring = "secondary", toSign;
  uint32_t mapOwner = 0, logLevel = 0;
  bool persistent = false, all = false;
};

void fill(capnp::List<schema::LoadOptions::Wanted>::Builder programs, const std::vector<WantedProgram>& wanted) {
  for (size_t i = 0; i < wanted.size(); i++) {
    programs[i].setType(wanted[i].type);
    programs[i].setName(wanted[i].name.c_str());
    programs[i].setAttachTo(wanted[i].attachTo.c_str());
    programs[i].setInferType(wanted[i].infer);
  }
}

void fill(schema::LoadOptions::Builder options, const LoadArguments& arguments) {
  if (arguments.all == !arguments.programs.empty()) fail(kj::str("either --programs or --all-programs says what to load"));
  auto wanted = arguments.all ? std::vector<WantedProgram>() : parsePrograms(arguments.programs);
  options.setAllPrograms(arguments.all);
  fill(options.initPrograms(wanted.size()), wanted);
  auto others = options.initAlternatives(arguments.alternatives.size());
  for (size_t i = 0; i < arguments.alternatives.size(); i++) {
    auto instead = parsePrograms({arguments.alternatives[i]});
    fill(others.init(i, instead.size()), instead);
  }
  putGlobals(options.initGlobals(arguments.globals.size() + arguments.typed.size()), arguments.globals, arguments.typed);
  put(options.initMetadata(arguments.metadata.size()), arguments.metadata, "--metadata");
  options.setApplication(arguments.application.c_str());
  options.setMapOwner(arguments.mapOwner);
  options.setPersistent(arguments.persistent);
  options.setEngine(arguments.engine.c_str());
  options.setLogLevel(arguments.logLevel);
  auto sizes = options.initMapSizes(arguments.mapSizes.size());
  for (size_t i = 0; i < arguments.mapSizes.size(); i++) {
    auto [name, entries] = parseMapSize(arguments.mapSizes[i]);
    sizes[i].setName(name.c_str());
    sizes[i].setEntries(entries);
  }
  putSignatures(options.initSignatures(arguments.signatures.size()), arguments.signatures, arguments.keyring);
  options.setToSign(!arguments.toSign.empty());
}

void addSignatures(CLI::App& app, std::vector<std::string>& signatures, std::string& keyring) {
  addRepeated(app, "--signature", signatures,
              "NAME=FILE: the signature of a program's instructions (PKCS#7, DER), which the kernel verifies; may be repeated");
  app.add_option("--keyring", keyring, "Whose keys are trusted: builtin, secondary, platform, or a keyring's serial (default: secondary)")
      ->needs("--signature");
}

// NAME.insns, for each program what a signature covers.
void writeToSign(const std::string& directory, kj::StringPtr program, kj::ArrayPtr<const kj::byte> instructions) {
  std::string path = directory + "/" + program.cStr() + ".insns";
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(reinterpret_cast<const char*>(instructions.begin()), instructions.size());
  if (!file.flush()) fail(kj::str("write ", path.c_str(), ": ", strerror(errno), "; the programs are loaded"));
}

// What of the verifier's log says where and why; the whole where that can't be told, or where it was asked for.
[[noreturn]] void failRefused(schema::Refusal::Reader refusal, bool whole) {
  if (refusal.getVerifierLog().size() == 0) fail(kj::str("failed to load programs: ", refusal.getReason()));
  whole |= refusal.getSummary().size() == 0;
  std::string text = std::string("load program: ") + refusal.getReason().cStr() + ":";
  for (auto& line : split(whole ? refusal.getVerifierLog().cStr() : refusal.getSummary().cStr(), '\n')) text += "\n\t" + line;
  if (!whole) text += "\n\t(the verifier's whole log: program load --log-level 1)";
  fail(kj::heapString(text.c_str(), text.size()));
}

int load(Session& session, const LoadArguments& arguments) {
  // All that can be wrong with the arguments is found before the daemon is asked.
  capnp::MallocMessageBuilder options;
  fill(options.initRoot<schema::LoadOptions>(), arguments);
  auto memfd = bytecodeFrom(arguments.path.c_str());

  auto request = session.connection().programs().loadRequest();
  auto bytecode = request.initBytecode();
  bytecode.setMemfd(carry(kj::mv(memfd)));
  bytecode.setSourcePath(arguments.path.c_str());
  request.setOptions(options.getRoot<schema::LoadOptions>().asReader());
  if (!arguments.btf.empty()) request.getOptions().setKernelTypes(carry(bytecodeFrom(arguments.btf.c_str())));
  auto answer = session.wait(request.send());
  if (answer.isRefused()) failRefused(answer.getRefused(), arguments.logLevel > 0);

  for (auto warning : answer.getWarnings()) std::cerr << "bpfman: warning: " << warning.cStr() << "\n";
  Json programs = Json::array();
  bool first = true;
  for (auto loaded : answer.getLoaded()) {
    if (!arguments.toSign.empty()) writeToSign(arguments.toSign, loaded.getDetails().getRecord().getName(), loaded.getToSign());
    if (arguments.output == "json") {
      programs.push_back(jsonOf(loaded.getDetails()));
      if (arguments.logLevel > 0) programs.back()["verifier_log"] = loaded.getVerifierLog().cStr();
    } else {
      std::cout << (first ? "" : "\n");
      printProgram(std::cout, loaded.getDetails());
      if (arguments.logLevel > 0) std::cout << "\nVerifier's log:\n" << loaded.getVerifierLog().cStr();
    }
    first = false;
  }
  if (arguments.output == "json") print(std::cout, {{"programs", programs}});
  return 0;
}

struct UpdateArguments {
  uint32_t program = 0;
  std::string path, name;
  std::vector<std::string> globals, typed, signatures;
  std::string keyring = "secondary";
  ChangeOptions change;
};

int update(Session& session, const UpdateArguments& arguments) {
  uint32_t seconds = secondsFrom(arguments.change.confirmWithin);
  capnp::MallocMessageBuilder scratch;
  auto options = scratch.initRoot<schema::UpdateOptions>();
  putGlobals(options.initGlobals(arguments.globals.size() + arguments.typed.size()), arguments.globals, arguments.typed);
  options.setName(arguments.name.c_str());
  options.setConfirmWithin(seconds);
  putSignatures(options.initSignatures(arguments.signatures.size()), arguments.signatures, arguments.keyring);
  auto memfd = bytecodeFrom(arguments.path.c_str());

  auto request = findProgram(session, arguments.program).updateRequest();
  request.initBytecode().setMemfd(carry(kj::mv(memfd)));
  request.getBytecode().setSourcePath(arguments.path.c_str());
  request.setOptions(options);
  auto answer = session.wait(request.send());
  if (answer.isRefused()) failRefused(answer.getRefused(), false);
  if (arguments.change.output == "json") {
    print(std::cout, jsonOf(answer.getUpdated().getDetails()));
  } else {
    printProgram(std::cout, answer.getUpdated().getDetails());
    printWaiting(std::cout, answer.getUpdated().getWaiting());
  }
  return 0;
}

}  // namespace

void addProgramUpdate(CLI::App& parent, Command& chosen) {
  auto arguments = std::make_shared<UpdateArguments>();
  auto& app =
      *parent.add_subcommand("update", "Put other bytecode in a program's place: same links, same maps, no packet lost; its id changes");
  app.add_option("PROGRAM", arguments->program, "Its id")->required();
  app.add_option("-f,--file", arguments->path, "The object file (at most 16 MiB)")->required();
  app.add_option("--name", arguments->name, "The function (default: of the same name)");
  addRepeated(app, "-g,--global", arguments->globals, "NAME=HEX: a global variable's value (default: as it was loaded); may be repeated");
  addRepeated(app, "--set", arguments->typed, "NAME=VALUE: likewise, by its type, as in 'program load'; may be repeated");
  addSignatures(app, arguments->signatures, arguments->keyring);
  addConfirmWithin(app, arguments->change.confirmWithin);
  addOutput(app, arguments->change.output);
  app.callback([arguments, &chosen] { chosen = [arguments](Session& session) { return update(session, *arguments); }; });
}

void addProgramLoad(CLI::App& parent, Words words, Command& chosen) {
  auto arguments = std::make_shared<LoadArguments>();
  auto& app = *parent.add_subcommand("file", "Load programs from an object file");
  app.add_option(words == Words::byPlace ? "PATH" : "PATH,-p,--path", arguments->path, "The object file (at most 16 MiB)")->required();
  addRepeated(app, "--programs", arguments->programs,
              "[TYPE:]NAME[:ATTACH_FUNC][,...]: what to load; may be repeated. Without TYPE its section says it");
  addRepeated(app, "--or", arguments->alternatives,
              "TYPE:NAME[:ATTACH_FUNC][,...]: these, if this host has no such hook or its kernel refuses the ones before; may be repeated");
  app.add_flag("--all-programs", arguments->all,
               "All programs of the object, but those whose section begins with \"?\"; their sections say the types");
  addRepeated(app, "-g,--global", arguments->globals, "NAME=HEX: a global variable's value, byte by byte; may be repeated");
  addRepeated(app, "--set", arguments->typed,
              "NAME=VALUE: a global variable's value as JSON of its type in the object's BTF (5, 0xff, true, an enumerator's name, text, "
              "[1,2], {\"member\":1}); may be repeated");
  addRepeated(app, "-m,--metadata", arguments->metadata, "KEY=VALUE; may be repeated");
  app.add_option("-a,--application", arguments->application, "The application that the programs belong to");
  addRepeated(app, "--map-size", arguments->mapSizes, "NAME=ENTRIES: max_entries of a map instead of the object's; may be repeated");
  app.add_option("--btf", arguments->btf,
                 "Fit the object to the structs of the kernel with this BTF (raw, or in an ELF file) instead of this one's");
  app.add_option("--log-level", arguments->logLevel,
                 "Show the verifier's log: 1 (each instruction), 2 (and each state), 4 (statistics), or a sum of them");
  addSignatures(app, arguments->signatures, arguments->keyring);
  app.add_option("--to-sign", arguments->toSign, "Write into this directory, as NAME.insns, what a signature of each program covers");
  app.add_option("--map-owner-id", arguments->mapOwner, "Use the maps of this program instead of new ones");
  app.add_flag("--persistent", arguments->persistent, "Load and attach them again after a reboot, and when their interface comes back");
  app.add_option("--engine", arguments->engine,
                 "How its xdp or tc programs share interfaces: auto, libxdp (xdp), freplace (tc) or tailcall (default: auto)")
      ->check(CLI::IsMember({"auto", "libxdp", "freplace", "tailcall"}));
  addOutput(app, arguments->output);
  app.callback([arguments, &chosen] { chosen = [arguments](Session& session) { return load(session, *arguments); }; });
  addUnsupported(parent, "image", "load the object file with 'bpfman program load file'", chosen);
}

}  // namespace bpfman
