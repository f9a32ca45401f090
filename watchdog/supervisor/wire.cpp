#include "watchdog/supervisor/wire.hpp"

#include <charconv>

#include "common/core/text.hpp"

namespace katana::watchdog {
namespace {

/// The words of a line, taken one after the other.
class Words {
 public:
  explicit Words(std::string_view line) : rest_(line) {}

  std::string_view word() {
    const auto end = std::min(rest_.find(' '), rest_.size());
    const auto w = rest_.substr(0, end);
    rest_.remove_prefix(std::min(end + 1, rest_.size()));
    if (w.empty()) good_ = false;
    return w;
  }
  std::string name() {
    const auto w = word();
    if (w.size() > 64) good_ = false;
    return std::string(w);
  }
  template <class Number>
  Number number() {
    const auto w = word();
    Number n{};
    const auto [end, error] = std::from_chars(w.data(), w.data() + w.size(), n);
    if (error != std::errc{} || end != w.data() + w.size() || n < 0) good_ = false;
    return n;
  }
  std::string rest() { return std::string(std::exchange(rest_, {})); }
  [[nodiscard]] bool good() const { return good_ && rest_.empty(); }

 private:
  std::string_view rest_;
  bool good_ = true;
};

template <class... Ts>
struct overloaded : Ts... {
  using Ts::operator()...;
};
template <class... Ts>
overloaded(Ts...) -> overloaded<Ts...>;

std::string join(std::initializer_list<std::string> words) {
  std::string out;
  for (const auto& w : words)
    out += (out.empty() ? "" : " ") + w;
  return out + "\n";
}
std::string num(std::int64_t n) {
  return std::to_string(n);
}

tl::unexpected<Error> malformed(std::string_view line) {
  return fail(Code::Malformed,
              "not understood: '" + text::shorten(text::one_line(text::sanitize(line)), 60) + "'");
}

}  // namespace

std::string to_line(const FromParent& message) {
  return std::visit(
      overloaded{
          [](const Replaced& m) {
            return join({"replaced", num(std::chrono::duration_cast<Millis>(m.at.time_since_epoch()).count()),
                         num(m.ending.status), num(m.ending.signal)});
          },
          [](const Planned& m) {
            return join({"plan", m.name, m.component});
          },
          [](const Running& m) {
            return join({"running", m.name, num(m.pid), num(m.age.count())});
          },
          [](const Begin&) { return join({"begin"}); },
          [](const Said& m) {
            return join({"said", m.name, text::shorten(text::one_line(text::sanitize(m.line)), 500)});
          },
          [](const Exited& m) {
            return join({"exited", m.name, num(m.pid), num(m.ending.status), num(m.ending.signal),
                         text::shorten(text::one_line(text::sanitize(m.line)), 500)});
          },
          [](const Stopping&) { return join({"stopping"}); },
      },
      message);
}

std::string to_line(const FromWatchdog& message) {
  return std::visit(overloaded{
                        [](const Order& m) {
                          return m.kind == Order::Kind::Start ? join({"start", m.name})
                                                              : join({"signal", m.name, num(m.signal)});
                        },
                        [](const Alive&) { return join({"alive"}); },
                        [](const Kept& m) {
                          return join({"kept", m.name, num(m.pid)});
                        },
                    },
                    message);
}

Result<FromParent> parse_from_parent(std::string_view line) {
  Words w(line);
  const auto verb = w.word();
  FromParent out;
  if (verb == "replaced") {
    Replaced m;
    m.at = Mono{Millis{w.number<std::int64_t>()}};
    m.ending.status = w.number<int>();
    m.ending.signal = w.number<int>();
    out = m;
  } else if (verb == "plan") {
    Planned m;
    m.name = w.name();
    m.component = w.name();
    out = m;
  } else if (verb == "running") {
    Running m;
    m.name = w.name();
    m.pid = w.number<std::int64_t>();
    m.age = Millis{w.number<std::int64_t>()};
    out = m;
  } else if (verb == "begin") {
    out = Begin{};
  } else if (verb == "said") {
    Said m;
    m.name = w.name();
    m.line = w.rest();
    out = m;
  } else if (verb == "exited") {
    Exited m;
    m.name = w.name();
    m.pid = w.number<std::int64_t>();
    m.ending.status = w.number<int>();
    m.ending.signal = w.number<int>();
    m.line = w.rest();
    out = m;
  } else if (verb == "stopping") {
    out = Stopping{};
  } else {
    return malformed(line);
  }
  if (!w.good()) return malformed(line);
  return out;
}

Result<FromWatchdog> parse_from_watchdog(std::string_view line) {
  Words w(line);
  const auto verb = w.word();
  FromWatchdog out;
  if (verb == "start") {
    out = Order{Order::Kind::Start, w.name()};
  } else if (verb == "signal") {
    Order o{Order::Kind::Signal, w.name()};
    o.signal = w.number<int>();
    out = o;
  } else if (verb == "alive") {
    out = Alive{};
  } else if (verb == "kept") {
    Kept m;
    m.name = w.name();
    m.pid = w.number<std::int64_t>();
    out = m;
  } else {
    return malformed(line);
  }
  if (!w.good()) return malformed(line);
  return out;
}

}  // namespace katana::watchdog
