#include <ctime>
#include <utility>

#include "watchdog/incident/notice.hpp"

namespace katana::watchdog {
namespace {

constexpr std::string_view kRunbook = "What to do";

using Facts = std::vector<std::pair<std::string, std::string>>;

Facts facts_of(const Notice& n) {
  Facts facts;
  const auto add = [&](const char* name, const std::string& value) {
    if (!value.empty()) facts.emplace_back(name, value);
  };
  add("Where", n.where + (n.host.empty() ? "" : " on " + n.host));
  if (n.kind != NoticeKind::Test) add("Since", utc(n.since));
  if (n.kind == NoticeKind::Resolved) add("Lasted", human(Millis{n.lasted_ms}));
  if (n.kind == NoticeKind::Escalated || n.kind == NoticeKind::Reminder)
    add("Open for", human(std::chrono::duration_cast<Millis>(n.at - n.since)));
  add("For users", n.effect);
  add("Last error", n.last_error);
  if (n.restarts > 0) add("Restarts", std::to_string(n.restarts));
  add(kRunbook.data(), n.runbook);
  add("Incident", n.incident);
  return facts;
}

std::string escape(std::string_view s) {
  std::string out;
  for (const char c : s) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string linked(const std::string& name, const std::string& value) {
  if (name != kRunbook) return escape(value);
  return "<a href=\"" + escape(value) + "\">" + escape(value) + "</a>";
}

const char* colour(const Notice& n) {
  if (n.kind == NoticeKind::Resolved) return "#1a7f37";
  if (n.kind == NoticeKind::Test) return "#0969da";
  return n.severity == Severity::Critical ? "#cf222e" : "#9a6700";
}

}  // namespace

std::string human(Millis span) {
  const auto ms = span.count();
  if (ms < 1'000) return std::to_string(ms) + " ms";
  const auto s = ms / 1'000;
  if (s < 10) return std::to_string(s) + "." + std::to_string(ms % 1'000 / 100) + " s";
  if (s < 60) return std::to_string(s) + " s";
  if (s < 3'600) return std::to_string(s / 60) + " min " + std::to_string(s % 60) + " s";
  return std::to_string(s / 3'600) + " h " + std::to_string(s % 3'600 / 60) + " min";
}

std::string utc(Wall at) {
  const std::time_t t = to_unix(at);
  std::tm parts{};
  gmtime_r(&t, &parts);
  char buffer[40];
  std::strftime(buffer, sizeof buffer, "%Y-%m-%d %H:%M:%S UTC", &parts);
  return buffer;
}

std::string subject(const Notice& n) {
  switch (n.kind) {
    case NoticeKind::Test:
      return "TEST " + n.title;
    case NoticeKind::Flapping:
      return "FLAPPING " + n.title;
    case NoticeKind::Resolved:
      return "RESOLVED " + n.title + ", lasted " + human(Millis{n.lasted_ms});
    case NoticeKind::Escalated:
      return "ESCALATED " + n.title;
    case NoticeKind::Reminder:
      return "STILL OPEN " + n.title;
    case NoticeKind::Acknowledged:
      return "ACKNOWLEDGED " + n.title;
    case NoticeKind::Opened:
    case NoticeKind::Storm:
      break;
  }
  return (n.severity == Severity::Critical ? "CRITICAL " : "WARNING ") + n.title;
}

std::string to_text(const Notice& n) {
  std::string out = subject(n) + "\n";
  for (const auto& [name, value] : facts_of(n))
    out.append("\n").append(name).append(": ").append(value);
  return out + "\n";
}

std::string to_html(const Notice& n) {
  std::string rows;
  for (const auto& [name, value] : facts_of(n))
    rows +=
        "<tr><th style=\"text-align:left;padding:4px 16px 4px "
        "0;color:#59636e;font-weight:normal;white-space:nowrap\">" +
        escape(name) + "</th><td style=\"padding:4px 0\">" + linked(name, value) + "</td></tr>\n";
  return "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>" + escape(subject(n)) +
         "</title></head>\n<body style=\"margin:0;padding:16px;font:15px/1.5 system-ui,sans-serif\">\n"
         "<div style=\"border-left:6px solid " +
         std::string(colour(n)) +
         ";padding:4px 0 4px 16px\">\n<p style=\"margin:0 0 8px;font-size:18px;color:" + colour(n) +
         "\"><b>" + escape(subject(n)) + "</b></p>\n<table style=\"border-collapse:collapse\">\n" + rows +
         "</table></div>\n</body></html>\n";
}

}  // namespace katana::watchdog
