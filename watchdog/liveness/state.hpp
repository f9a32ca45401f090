#pragma once

#include <cstddef>
#include <string_view>

namespace katana::watchdog {

/// What the watchdog holds of one process.
enum class State {
  Unknown,   ///< expected, and never heard
  Starting,  ///< launched, or says so itself; not serving yet
  Up,        ///< serving, heard in time
  Late,      ///< beats are overdue; nothing is judged yet
  Hung,      ///< the process is there and doesn't beat, or beats and does nothing
  Down,      ///< gone
  Draining,  ///< serving what it has, taking nothing new
};
inline constexpr std::size_t kStates = 7;

/// What can befall a process.
enum class Event {
  Launched,      ///< our parent started it
  BeatStarting,  ///< a heartbeat, by the state that it tells
  BeatReady,
  BeatDraining,
  Goodbye,  ///< its last heartbeat: it leaves in good order
  Quiet,    ///< nothing heard for Limits::late
  Silent,   ///< nothing heard for Limits::gone, and nothing known of the process
  Frozen,   ///< as Silent, but the process is there; or it beats and its work doesn't move
  Exited,   ///< its exit was reported
};
inline constexpr std::size_t kEvents = 9;

/// The table: what a process is after an event. Pure and total.
State next(State state, Event event);

std::string_view to_string(State state);

/// True for a process that takes part: it is there and not (known to be) dead or hung.
inline bool present(State state) {
  return state == State::Starting || state == State::Up || state == State::Late || state == State::Draining;
}

}  // namespace katana::watchdog
