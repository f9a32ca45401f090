// Watchdog, taking up what an earlier process of ours left: open incidents, notices, failing channels.
#include <algorithm>
#include <filesystem>
#include <map>

#include "common/log/log.hpp"
#include "watchdog/watchdog.hpp"

namespace katana::watchdog {
namespace {

constexpr std::size_t kMaxIncidentFile = 16 << 20;

constexpr log::Room kLog{"watchdog"};

}  // namespace

void Watchdog::restore_incidents() {
  const std::string path = directory_ + "/incidents.json";
  if (std::filesystem::exists(path)) {
    const auto restored = read_whole(path, kMaxIncidentFile).and_then([this](const std::string& s) {
      return book_->restore(s, now());
    });
    if (!restored) kLog.error("open incidents of the last run are lost: {}", restored.error().detail);
  }
  recover_notices();
  resume_channels();
}

/// Our former self may have died between a notice and the book's file. The spools know: a notice leaves them
/// only after the file that holds it was written.
void Watchdog::recover_notices() {
  const std::uint64_t known = book_->last_notice();
  std::map<std::uint64_t, Notice> in_doubt;
  std::map<std::uint64_t, std::vector<std::string>> holders;
  for (const auto& d : deliveries_)
    for (auto& notice : d->waiting()) {
      if (notice.number <= known) continue;
      holders[notice.number].push_back(d->name());
      in_doubt.emplace(notice.number, std::move(notice));
    }
  for (const auto& [number, notice] : in_doubt) {
    book_->recover(notice, now());
    const auto& has = holders[number];
    for (const auto& d : deliveries_)
      if (d->name() != notice.except && std::find(has.begin(), has.end(), d->name()) == has.end())
        d->accept(notice);
  }
}

void Watchdog::resume_channels() {
  std::vector<std::string> moot;
  for (const auto& [key, incident] : book_->open_incidents()) {
    const Report& report = incident.report;
    kLog.info("still open from the last run: {}", report.title);
    if (report.component != "channel" || key == Judge::kOpsChat) continue;
    const auto it = std::find_if(deliveries_.begin(), deliveries_.end(),
                                 [&report](const auto& d) { return d->name() == report.where; });
    if (it != deliveries_.end())
      (*it)->resume_failing();
    else
      moot.push_back(key);  // that channel is no longer set
  }
  for (const auto& key : moot)
    book_->resolve(key, now());
}

}  // namespace katana::watchdog
