#include "common/service/alarm.hpp"

#include <cerrno>
#include <csignal>

#include <sys/time.h>
#include <unistd.h>

namespace katana::service {
namespace {

volatile std::sig_atomic_t expiries = 0;
volatile std::sig_atomic_t interval_ms = static_cast<std::sig_atomic_t>(HangAlarm::kInterval.count());

void set_timer(int ms) {
  itimerval value{};
  value.it_value.tv_sec = ms / 1000;
  value.it_value.tv_usec = ms % 1000 * 1000L;
  setitimer(ITIMER_REAL, &value, nullptr);
}

/// Only calls that a signal handler may make.
void on_alarm(int) {
  if (expiries > 0) {
    static constexpr char kWords[] =
        "CRITICAL: the loop has not turned for a long time; exiting with status 86\n";
    [[maybe_unused]] const ssize_t ignored = write(STDERR_FILENO, kWords, sizeof(kWords) - 1);
    _exit(HangAlarm::kExitStatus);
  }
  const int saved = errno;
  expiries = 1;
  set_timer(interval_ms);
  errno = saved;
}

}  // namespace

HangAlarm::HangAlarm(Millis interval) {
  interval_ms = static_cast<std::sig_atomic_t>(interval.count());
  struct sigaction action {};
  action.sa_handler = on_alarm;
  action.sa_flags = SA_RESTART;
  sigaction(SIGALRM, &action, nullptr);
  rearm();
}

HangAlarm::~HangAlarm() {
  set_timer(0);
  std::signal(SIGALRM, SIG_DFL);
}

void HangAlarm::rearm() const {
  expiries = 0;
  set_timer(interval_ms);
}

}  // namespace katana::service
