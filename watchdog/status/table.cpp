#include "watchdog/status/table.hpp"

#include <algorithm>
#include <vector>

#include "common/core/text.hpp"

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
  for (const auto& c : s.channels)
    out += "alerts by " + c.name + ": " + (c.failing ? "failing, " + c.last_error : std::string("ready")) +
           ", " + std::to_string(c.sent) + " sent, " + std::to_string(c.waiting) + " waiting\n";
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
