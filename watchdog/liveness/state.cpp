#include "watchdog/liveness/state.hpp"

#include <array>

namespace katana::watchdog {
namespace {

using Row = std::array<State, kEvents>;

constexpr State U = State::Unknown, S = State::Starting, P = State::Up, L = State::Late, H = State::Hung,
                D = State::Down, R = State::Draining;

// A quiet start is judged by its own limit (Silent or Frozen after Limits::start), and a draining process may
// be busy with its last words: neither becomes Late. Down is left only by a launch or a beat.
constexpr std::array<Row, kStates> kTable{{
    //             Launched BeatStarting BeatReady BeatDraining Goodbye Quiet Silent Frozen Exited
    /* Unknown  */ {S, S, P, R, D, U, U, U, D},
    /* Starting */ {S, S, P, R, D, S, D, H, D},
    /* Up       */ {S, S, P, R, D, L, D, H, D},
    /* Late     */ {S, S, P, R, D, L, D, H, D},
    /* Hung     */ {S, S, P, R, D, H, D, H, D},
    /* Down     */ {S, S, P, R, D, D, D, D, D},
    /* Draining */ {S, S, P, R, D, R, D, H, D},
}};

}  // namespace

State next(State state, Event event) {
  return kTable[static_cast<std::size_t>(state)][static_cast<std::size_t>(event)];
}

std::string_view to_string(State state) {
  switch (state) {
    case State::Unknown:
      return "unknown";
    case State::Starting:
      return "starting";
    case State::Up:
      return "up";
    case State::Late:
      return "late";
    case State::Hung:
      return "hung";
    case State::Down:
      return "down";
    case State::Draining:
      return "draining";
  }
  return "unknown";
}

}  // namespace katana::watchdog
