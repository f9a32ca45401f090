#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "common/loop/loop.hpp"
#include "common/net/certificates.hpp"
#include "common/net/smtp.hpp"

/// Private to this room.
namespace katana::net {

struct MailJob;

/// Sends mails, one after the other, on a thread of its own, because libcurl's SMTP isn't fit for a loop: it
/// waits for the server's verdict on a message, and for its goodbye, inside the call (`smtp_done` and
/// `smtp_disconnect` in lib/smtp.c of 7.88). The thread starts with the first mail and sleeps between mails.
/// Owned by CurlClient; loop thread only.
class MailThread {
 public:
  /// `certificates`: those of the mail servers go there.
  MailThread(loop::Loop& loop, Certificates& certificates) : loop_(loop), certificates_(certificates) {}
  ~MailThread();
  MailThread(const MailThread&) = delete;
  MailThread& operator=(const MailThread&) = delete;
  HttpCall send(Mail mail, std::function<void(Result<std::string>)> on_done);

 private:
  void work();

  loop::Loop& loop_;
  Certificates& certificates_;
  std::vector<std::weak_ptr<MailJob>> sent_;  ///< loop thread
  /// Guards `waiting_` and `ended_`, between the loop, which adds, and the thread, which takes. Held for a
  /// push or pop.
  std::mutex lock_;
  std::condition_variable more_;
  std::deque<std::shared_ptr<MailJob>> waiting_;
  bool ended_ = false;
  std::thread thread_;
};

}  // namespace katana::net
