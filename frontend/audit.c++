#include "frontend/audit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>

#include <kj/debug.h>
#include <kj/io.h>
#include <nlohmann/json.hpp>
#include <spdlog/sinks/null_sink.h>
#include <spdlog/sinks/rotating_file_sink.h>
#include <spdlog/spdlog.h>

#include "frontend/clock.h"
#include "frontend/limits.h"

namespace bpfman {

namespace {

std::string timeText(int64_t nanoseconds) {
  time_t seconds = nanoseconds / 1'000'000'000;
  tm parts;
  gmtime_r(&seconds, &parts);
  char text[40];
  size_t size = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  snprintf(text + size, sizeof text - size, ".%06dZ", int(nanoseconds % 1'000'000'000 / 1000));
  return text;
}

std::string content(const std::string& file) {
  int descriptor = open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (descriptor < 0) return {};
  kj::AutoCloseFd owned(descriptor);
  struct stat status;
  KJ_SYSCALL(fstat(descriptor, &status));
  std::string bytes(status.st_size, 0);
  ssize_t got = pread(descriptor, bytes.data(), bytes.size(), 0);
  bytes.resize(std::max<ssize_t>(got, 0));
  return bytes;
}

// The lines are our own, compact, with a fixed order of keys, and JSON escapes quotes inside of strings: so text can be compared.
class Test {
 public:
  explicit Test(const AuditFilter& filter) : since(filter.since), failedOnly(filter.failedOnly) {
    KJ_IF_MAYBE (uid, filter.uid) parts.push_back("\"uid\":" + std::to_string(*uid) + ",");
    if (!filter.action.empty()) parts.push_back("\"action\":" + nlohmann::json(filter.action).dump() + ",");
    KJ_IF_MAYBE (program, filter.program) ids.emplace_back("\"programs\":[", *program);
    KJ_IF_MAYBE (link, filter.link) ids.emplace_back("\"links\":[", *link);
  }

  bool operator()(std::string_view line) const {
    constexpr std::string_view BEGIN = "{\"time\":\"", OK = "\"result\":\"ok\"}";
    if (!line.starts_with(BEGIN)) return false;
    if (line.substr(BEGIN.size()).compare(0, since.size(), since) < 0) return false;
    if (failedOnly && line.ends_with(OK)) return false;
    for (auto& part : parts)
      if (line.find(part) == line.npos) return false;
    return std::ranges::all_of(ids, [&](auto& wanted) { return lists(line, wanted.first, wanted.second); });
  }

 private:
  std::string since;
  bool failedOnly;
  std::vector<std::string> parts;
  std::vector<std::pair<std::string_view, uint32_t>> ids;

  static bool lists(std::string_view line, std::string_view key, uint32_t id) {
    size_t begin = line.find(key);
    if (begin == line.npos) return false;
    begin += key.size() - 1;
    std::string list(line.substr(begin, line.find(']', begin) - begin));
    list += ',';
    list[0] = ',';
    return list.find(',' + std::to_string(id) + ',') != list.npos;
  }
};

}  // namespace

Audit::Audit(std::string path, size_t bytes, size_t files) : path(std::move(path)), files(files) {
  spdlog::sink_ptr sink = std::make_shared<spdlog::sinks::null_sink_st>();
  try {
    sink = std::make_shared<spdlog::sinks::rotating_file_sink_st>(this->path, bytes, files);
  } catch (const spdlog::spdlog_ex& problem) {  // a disk that can't be written: denials are still heard of
    spdlog::error("the audit is in this log only: {}", problem.what());
  }
  sink->set_pattern("%v");
  logger = std::make_shared<spdlog::logger>("audit", sink);
  logger->flush_on(spdlog::level::info);
  logger->set_error_handler([](const std::string& text) { spdlog::error("the audit's file can't be written: {}", text); });
}

Audit::~Audit() = default;

void Audit::write(uint32_t uid, int32_t pid, kj::StringPtr socket, const AuditLine& line) {
  nlohmann::ordered_json json = {{"time", timeText(wallClock())}, {"number", ++number},          {"uid", uid}, {"pid", pid},
                                 {"socket", socket.cStr()},       {"action", line.action.cStr()}};
  if (line.where.userNamespace != 0) {
    json["cgroup"] = line.where.cgroup;
    json["user_namespace"] = line.where.userNamespace;
    json["network_namespace"] = line.where.networkNamespace;
  } else if (!line.where.unknown.empty()) {
    json["where_unknown"] = line.where.unknown;
  }
  if (!line.programs.empty()) json["programs"] = line.programs;
  if (!line.links.empty()) json["links"] = line.links;
  if (!line.maps.empty()) json["maps"] = line.maps;
  if (!line.what.empty()) json["what"] = line.what;
  if (!line.request.empty()) json["request"] = line.request;
  json["result"] = line.result;
  auto text = json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  logger->info("{}", text);
  spdlog::info("audit: {}", text);  // also when the disk is full
}

void Audit::deny(uint32_t uid, int32_t pid, kj::StringPtr socket, kj::StringPtr what, const Whereabouts& where) {
  int64_t now = wallClock() / 60'000'000'000;
  if (now != minute) {
    for (auto& [who, count] : denials)
      if (count > limits::DENIALS_PER_MINUTE)
        write(who, 0, "", {"denied", {}, {}, {}, kj::str(count - limits::DENIALS_PER_MINUTE, " more times").cStr(), {}, "denied"});
    denials.clear();
    minute = now;
  }
  if (++denials[uid] <= limits::DENIALS_PER_MINUTE) write(uid, pid, socket, {"denied", {}, {}, {}, what.cStr(), {}, "denied", where});
}

std::string Audit::fileName(size_t age) const {  // as the sink names them
  return age == 0 ? path : spdlog::sinks::rotating_file_sink_st::calc_filename(path, age);
}

std::vector<std::string> Audit::read(const AuditFilter& filter, size_t limit) const {
  Test matches(filter);
  std::vector<std::string> lines;
  for (size_t age = 0; age <= files && lines.size() < limit; ++age) {
    std::string bytes = content(fileName(age));
    std::string_view rest = bytes;
    while (!rest.empty() && lines.size() < limit) {  // from the end
      if (rest.back() == '\n') rest.remove_suffix(1);
      size_t before = rest.rfind('\n');
      auto line = rest.substr(before == rest.npos ? 0 : before + 1);
      if (matches(line)) lines.emplace_back(line);
      rest = before == rest.npos ? std::string_view() : rest.substr(0, before + 1);
    }
  }
  std::ranges::reverse(lines);
  return lines;
}

}  // namespace bpfman
