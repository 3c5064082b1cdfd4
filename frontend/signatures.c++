#include "frontend/signatures.h"

#include <algorithm>

#include "frontend/limited-text.h"
#include "frontend/limits.h"
#include "frontend/refuse.h"

namespace bpfman {

void takeSignatures(LoadWish& wish, capnp::List<schema::Signature>::Reader list) {
  if (list.size() > wire::MAX_PROGRAMS) refuse("at most ", wire::MAX_PROGRAMS, " signatures in one load");
  for (auto each : list) {
    std::string program = limitedText(each.getProgram(), "a program's name");
    auto pkcs7 = each.getPkcs7().asChars();
    if (std::ranges::count(wish.signatures, program, &Signature::program) > 0) refuse("program ", program.c_str(), " has two signatures");
    if (pkcs7.size() == 0 || pkcs7.size() > limits::SIGNATURE_BYTES)
      refuse("the signature of program ", program.c_str(), " has ", pkcs7.size(), " bytes; it is PKCS#7 in DER, 1 to ",
             limits::SIGNATURE_BYTES);
    if (each.getKeyring() < 0) refuse("keyring ", each.getKeyring(), ": name one by its serial, or 0, 1, 2 for the kernel's own");
    wish.signatures.push_back({program, std::string(pkcs7.begin(), pkcs7.size()), each.getKeyring()});
  }
}

void requireSignedPrograms(const LoadWish& wish) {
  for (auto& signature : wish.signatures) {
    auto has = [&](const std::vector<WantedProgram>& programs) {
      return std::ranges::count(programs, signature.program, &WantedProgram::name) > 0;
    };
    if (!has(wish.programs) && std::ranges::none_of(wish.alternatives, has))
      refuse("a signature is of program \"", signature.program.c_str(), "\", which is not among those that are loaded");
  }
}

}  // namespace bpfman
