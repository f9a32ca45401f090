#include <array>
#include <cstdio>

#include "watchdog/status/snapshot.hpp"

namespace katana::watchdog {
namespace {

/// Each with its label. An incident of any other severity would be counted nowhere.
constexpr std::array kSeverities{std::pair{Severity::Warning, "severity=\"warning\""},
                                 std::pair{Severity::Critical, "severity=\"critical\""}};

/// A family of series with one value a row.
class Series {
 public:
  Series(std::string& out, const char* name, const char* help, const char* type) : out_(out), name_(name) {
    out_ += std::string("# HELP ") + name + " " + help + "\n# TYPE " + name + " " + type + "\n";
  }
  void add(const std::string& labels, double value) {
    char number[32];
    std::snprintf(number, sizeof number, "%.15g", value);
    out_ += name_ + (labels.empty() ? "" : "{" + labels + "}") + " " + number + "\n";
  }

 private:
  std::string& out_;
  std::string name_;
};

/// Nobody waits for it: enough of its kind are there without it.
bool not_missed(const Snapshot& s, const Member& m) {
  if (m.state != State::Down) return false;
  if (!m.said_goodbye && (m.child || s.expect.empty())) return false;
  const auto expected = s.expect.find(m.component);
  return expected == s.expect.end() || s.roster->count_present(m.component) >= expected->second;
}

/// `component` is whose series it is; whom it is about is another label.
std::string of(const std::string& name, const Member& m) {
  return "process=\"" + name + "\",role=\"" + m.component + "\"";
}

void processes(const Snapshot& s, std::string& out) {
  {
    Series up(out, "katana_up", "1 while the process takes part: starting, up, late or draining.", "gauge");
    for (const auto& [name, m] : s.roster->members())
      if (!not_missed(s, m)) up.add(of(name, m), present(m.state) ? 1 : 0);
  }
  Series restarts(out, "katana_restarts_total", "Times a new process took a dead one's place.", "counter");
  for (const auto& [name, m] : s.roster->members())
    restarts.add(of(name, m), m.restarts);
}

/// What only a process knows of its surroundings, by its last heartbeat.
void surroundings(const Snapshot& s, std::string& out) {
  {
    Series expiry(out, "katana_certificate_expiry_timestamp_seconds",
                  "When the certificate that a process meets and that expires first does so, in Unix time.",
                  "gauge");
    for (const auto& [name, m] : s.roster->members())
      if (m.beat && !m.beat->certificate_endpoint.empty())
        expiry.add("process=\"" + name + "\",endpoint=\"" + m.beat->certificate_endpoint + "\"",
                   static_cast<double>(to_unix(m.beat->certificate_expires)));
    if (s.certificate)
      expiry.add("process=\"watchdog\",endpoint=\"" + s.certificate->endpoint + "\"",
                 static_cast<double>(to_unix(s.certificate->expires)));
  }
  Series pending(out, "katana_telegram_pending_updates", "Updates that wait at Telegram, by its own count.",
                 "gauge");
  for (const auto& [name, m] : s.roster->members())
    if (m.beat && m.beat->pending_readings > 0)
      pending.add("process=\"" + name + "\"", static_cast<double>(m.beat->pending_updates));
}

void incidents(const Snapshot& s, std::string& out) {
  {
    Series open(out, "katana_incidents_open", "Incidents that are open, by severity.", "gauge");
    for (const auto& [severity, label] : kSeverities) {
      int count = 0;
      for (const auto& [key, incident] : s.book->open_incidents())
        count += incident.report.severity == severity ? 1 : 0;
      open.add(label, count);
    }
  }
  Series total(out, "katana_incidents_total", "Incidents opened since the start, by severity.", "counter");
  for (const auto& [severity, label] : kSeverities)
    total.add(label, static_cast<double>(s.book->opened_total(severity)));
}

void alerts(const Snapshot& s, std::string& out) {
  const auto of_each = [&](const char* name, const char* help, const char* type, auto value) {
    Series series(out, name, help, type);
    for (const auto& c : s.channels)
      series.add("channel=\"" + c.name + "\"", static_cast<double>(value(c)));
  };
  using Status = Delivery::Status;
  of_each("katana_alerts_waiting", "Alerts that wait in a channel's spool.", "gauge",
          [](const Status& c) { return c.waiting; });
  of_each("katana_alerts_sent_total", "Alerts that a channel's other side accepted.", "counter",
          [](const Status& c) { return c.sent; });
  of_each("katana_alerts_dropped_total", "Alerts that were given up: too many, or too old.", "counter",
          [](const Status& c) { return c.dropped; });
  of_each("katana_alerts_failing", "1 while a channel fails, else 0.", "gauge",
          [](const Status& c) { return c.failing; });
  Series(out, "katana_silences", "Silences that are in force.", "gauge")
      .add("", static_cast<double>(s.book->silences().size()));
  Series(out, "katana_alert_channels", "Channels that are set: with none, nobody will be told.", "gauge")
      .add("", static_cast<double>(s.channels.size()));
}

}  // namespace

std::string own_metrics(const Snapshot& s) {
  std::string out;
  processes(s, out);
  surroundings(s, out);
  incidents(s, out);
  alerts(s, out);
  return out;
}

}  // namespace katana::watchdog
