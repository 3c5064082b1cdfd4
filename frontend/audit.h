// The audit: one line of JSON for each change, hand-over and denial, to the log (systemd's journal) and to audit.log in the state
// directory, which rotates: who, over which socket, what, with which objects, and how it ended. Written when it ended.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include <kj/common.h>
#include <kj/string.h>

#include "frontend/identity.h"

namespace spdlog {
class logger;
}

namespace bpfman {

struct AuditLine {
  kj::StringPtr action;                         // "load", "attach", "detach", "unload", "update", "hand over", "denied", …
  std::vector<uint32_t> programs, links, maps;  // ids
  std::string what;                             // for people: the interface, the object's path, what was denied
  std::string request;                          // the client's request id, in hex
  std::string result;                           // "ok", or why not
  Whereabouts where = {};                       // of the caller
};

struct AuditFilter {  // each: "" or nothing matches all
  kj::Maybe<uint32_t> uid = nullptr, program = nullptr, link = nullptr;
  std::string action = "", since = "";  // since: a time as in the lines, or its beginning
  bool failedOnly = false;
};

class Audit {
 public:
  Audit(std::string path, size_t bytes, size_t files);  // files older than the last `files` are removed
  ~Audit();
  KJ_DISALLOW_COPY(Audit);

  void write(uint32_t uid, int32_t pid, kj::StringPtr socket, const AuditLine& line);
  void deny(uint32_t uid, int32_t pid, kj::StringPtr socket, kj::StringPtr what, const Whereabouts& where = {});
  // At most DENIALS_PER_MINUTE lines of one user, then a line that says how many more there were: what he is denied must not push out
  // what others did.
  std::vector<std::string> read(const AuditFilter& filter, size_t limit) const;  // the newest that match, oldest first

 private:
  std::string path;
  size_t files;
  std::shared_ptr<spdlog::logger> logger;
  std::map<uint32_t, uint32_t> denials;  // in this minute, by uid
  int64_t minute = 0;
  uint64_t number = 0;  // of lines since the start: a gap shows that one is missing

  std::string fileName(size_t age) const;
};

}  // namespace bpfman
