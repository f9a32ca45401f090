#include "watchdog/status/table.hpp"

#include <algorithm>
#include <vector>

#include "common/core/text.hpp"
#include "watchdog/incident/judge.hpp"

namespace katana::watchdog {
namespace {

using Row = std::vector<std::string>;

/// Columns as wide as their widest cell; `paint` may colour a cell once it is padded.
template <class Paint>
std::string columns(const std::vector<Row>& rows, Paint&& paint) {
  std::vector<std::size_t> widths;
  for (const Row& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i)
      widths[i] = std::max(widths[i], row[i].size());
  }
  std::string out;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    std::string line;
    for (std::size_t i = 0; i < rows[r].size(); ++i) {
      const std::string& cell = rows[r][i];
      const bool last = i + 1 == rows[r].size();
      line += paint(r, i, cell + std::string(last ? 0 : widths[i] - cell.size() + 2, ' '));
    }
    out += line + "\n";
  }
  return out;
}

const char* colour_of(const std::string& state) {
  if (state == "up") return "\x1b[32m";
  if (state == "down" || state == "hung") return "\x1b[31m";
  return "\x1b[33m";
}

Row process_row(const Member& m, Mono now) {
  Row row{m.instance, std::string(to_string(m.state)), "", "", "", "", "", ""};
  if (!m.beat) {
    row[7] =
        m.state == State::Down ? "since " + human(std::chrono::duration_cast<Millis>(now - m.since)) : "";
    return row;
  }
  const auto& b = *m.beat;
  row[2] = human(Millis{b.uptime_ms});
  row[3] = std::to_string(b.queue);
  row[4] = std::to_string(b.in_flight);
  row[5] = std::to_string(b.rss_bytes >> 20) + " MB";
  row[6] = std::to_string(m.restarts);
  row[7] = !b.healthy ? text::one_line(b.unhealthy_reason) : text::one_line(b.last_error);
  return row;
}

std::string dead_man_line(const Snapshot& s) {
  if (!s.dead_man)
    return "nobody notices when this machine is gone: no dead-man URL is set (ALERT_DEADMAN_URL)";
  if (!s.dead_man->last_error.empty()) return "dead-man URL: not asked, " + s.dead_man->last_error;
  if (!s.dead_man->last_asked) return "dead-man URL: not asked yet";
  return "dead-man URL: asked " +
         human(std::chrono::duration_cast<Millis>(s.now.wall - *s.dead_man->last_asked)) + " ago";
}

std::string incident_line(const Incident& i) {
  return std::string(to_string(i.report.severity)) + " " + i.thread +
         (i.acknowledged ? ", acknowledged" : "") + ", since " + utc(i.opened) + ": " + i.report.title;
}

}  // namespace

std::string to_table(const Snapshot& s, bool colour) {
  std::vector<Row> rows{
      {"PROCESS", "STATE", "UPTIME", "WAITING", "UNDER WAY", "MEMORY", "RESTARTS", "LAST ERROR"}};
  for (const auto& [name, m] : s.roster->members())
    rows.push_back(process_row(m, s.now.mono));
  std::string out = columns(rows, [&](std::size_t r, std::size_t c, const std::string& cell) {
    return colour && r > 0 && c == 1 ? colour_of(rows[r][1]) + cell + "\x1b[0m" : cell;
  });
  if (rows.size() == 1) out += "no process was heard yet\n";
  out += "\n";
  if (s.book->open_incidents().empty()) out += "no open incident\n";
  for (const auto& [key, i] : s.book->open_incidents())
    out += std::string(to_string(i.report.severity)) + ": " + i.report.title + " (since " + utc(i.opened) +
           ")\n";
  if (s.channels.empty()) out += "nobody will be told: no alert channel is set\n";
  for (const auto& silence : s.book->silences())
    out += "silenced until " + utc(silence.until) + ": " + silence.what + "\n";
  out += dead_man_line(s) + "\n";
  for (const auto& c : s.channels)
    out += "alerts by " + c.name + ": " + (c.failing ? "failing, " + c.last_error : std::string("ready")) +
           ", " + std::to_string(c.sent) + " sent, " + std::to_string(c.waiting) + " waiting\n";
  return out;
}

std::string to_lines(const Snapshot& s) {
  std::string out;
  for (const auto& [name, m] : s.roster->members()) {
    out += name + ": " + std::string(to_string(m.state));
    if (m.beat && present(m.state)) out += ", up " + human(Millis{m.beat->uptime_ms});
    if (m.restarts > 0) out += ", " + std::to_string(m.restarts) + " restarts";
    out += "\n";
  }
  const std::string load = load_of(*s.roster);
  out += (load.empty() ? "no message waits" : load) + "\n";
  if (s.book->open_incidents().empty()) out += "no open incident\n";
  for (const auto& [key, i] : s.book->open_incidents())
    out += "\n" + incident_line(i);
  for (const auto& silence : s.book->silences())
    out += "\nsilenced until " + utc(silence.until) + ": " + silence.what;
  return out;
}

std::string incident_lines(const Snapshot& s) {
  constexpr std::size_t kPast = 5;
  std::string out;
  for (const auto& [key, i] : s.book->open_incidents())
    out += incident_line(i) + "\n";
  if (out.empty()) out = "no open incident\n";
  std::size_t shown = 0;
  for (const auto& i : s.book->history())
    if (shown++ < kPast)
      out += "\n" + utc(i.opened) + ", for " + human(Millis{i.lasted_ms}) + ": " + i.report.title;
  return out;
}

std::string incidents_table(const Snapshot& s) {
  std::vector<Row> rows{{"INCIDENT", "SEVERITY", "SINCE", "LASTED", "WHAT"}};
  const auto add = [&](const Incident& i) {
    rows.push_back({i.id, std::string(to_string(i.report.severity)), utc(i.opened),
                    i.resolved ? human(Millis{i.lasted_ms}) : "open", i.report.title});
  };
  for (const auto& [key, i] : s.book->open_incidents())
    add(i);
  for (const auto& i : s.book->history())
    add(i);
  if (rows.size() == 1) return "no incident since the start\n";
  return columns(rows, [](std::size_t, std::size_t, std::string cell) { return cell; });
}

}  // namespace katana::watchdog
