#include "common/net/curl_engine.hpp"

#include <algorithm>
#include <chrono>
#include <stdexcept>

#include <sys/socket.h>
#include <unistd.h>

namespace katana::net {
namespace {

using MonoClock = std::chrono::steady_clock;

constexpr long kIdleConnections = 8192;  // curl's default, 4 × running, drops connections between bursts

}  // namespace

void Transfer::cancel() {
  if (over_) return;
  over_ = true;
  if (place_ != kNowhere) engine_.give_up(*this, CURLE_ABORTED_BY_CALLBACK);
}

CurlEngine::CurlEngine(loop::Loop& loop) : loop_(loop), alive_(std::make_shared<CurlEngine*>(this)) {
  static const CURLcode global = curl_global_init(CURL_GLOBAL_DEFAULT);
  multi_ = global == CURLE_OK ? curl_multi_init() : nullptr;
  if (multi_ == nullptr) throw std::runtime_error("libcurl can't be initialised");
  curl_multi_setopt(multi_, CURLMOPT_SOCKETDATA, this);
  curl_multi_setopt(
      multi_, CURLMOPT_SOCKETFUNCTION, +[](CURL*, curl_socket_t fd, int what, void* self, void*) {
        static_cast<CurlEngine*>(self)->want(fd, what);
        return 0;
      });
  curl_multi_setopt(multi_, CURLMOPT_TIMERDATA, this);
  curl_multi_setopt(
      multi_, CURLMOPT_TIMERFUNCTION, +[](CURLM*, long wait_ms, void* self) {
        static_cast<CurlEngine*>(self)->wake_in(wait_ms);
        return 0;
      });
  curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, kIdleConnections);
  curl_multi_setopt(multi_, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
}

CurlEngine::~CurlEngine() {
  const auto running = std::move(running_);
  for (const auto& transfer : running) {
    transfer->over_ = true;
    if (transfer->in_curl_) curl_multi_remove_handle(multi_, transfer->easy_);
    transfer->release();
  }
  curl_multi_cleanup(multi_);
}

void set_common_options(CURL* easy) {
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  // Else a timeout or a cancel during a lookup joins the thread of the resolver, on our loop.
  curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
  curl_easy_setopt(easy, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
  curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
  curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, 30L);
  curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, 10L);
  curl_easy_setopt(easy, CURLOPT_PROXY, "");    // not the environment's
  curl_easy_setopt(easy, CURLOPT_NOPROXY, "");  // nor its exceptions
}

// ---- transfers ----

void CurlEngine::start(std::shared_ptr<Transfer> transfer) {
  transfer->place_ = running_.size();
  running_.push_back(transfer);
  if (inside_) {
    entering_.push_back(std::move(transfer));
  } else {
    add(*transfer);
  }
}

void CurlEngine::add(Transfer& transfer) {
  curl_easy_setopt(transfer.easy_, CURLOPT_PRIVATE, &transfer);
  curl_easy_setopt(transfer.easy_, CURLOPT_OPENSOCKETDATA, this);
  curl_easy_setopt(
      transfer.easy_, CURLOPT_OPENSOCKETFUNCTION, +[](void* self, curlsocktype, curl_sockaddr* address) {
        return static_cast<CurlEngine*>(self)->open_socket(*address);
      });
  curl_easy_setopt(transfer.easy_, CURLOPT_CLOSESOCKETDATA, this);
  curl_easy_setopt(
      transfer.easy_, CURLOPT_CLOSESOCKETFUNCTION,
      +[](void* self, curl_socket_t fd) { return static_cast<CurlEngine*>(self)->close_socket(fd); });
  if (curl_multi_add_handle(multi_, transfer.easy_) == CURLM_OK) {
    transfer.in_curl_ = true;
    return;
  }
  loop_.later([weak = std::weak_ptr(alive_), kept = transfer.shared_from_this()] {
    if (const auto engine = weak.lock()) (*engine)->complete(kept, CURLE_FAILED_INIT);
  });
}

void CurlEngine::give_up(Transfer& transfer, CURLcode code) {
  if (transfer.place_ == Transfer::kNowhere) return;
  if (inside_) {
    leaving_.push_back({transfer.shared_from_this(), code});
  } else {
    complete(transfer.shared_from_this(), code);
  }
}

void CurlEngine::leave(Transfer& transfer) {
  if (transfer.in_curl_) curl_multi_remove_handle(multi_, transfer.easy_);
  transfer.in_curl_ = false;
  running_[transfer.place_] = std::move(running_.back());
  running_[transfer.place_]->place_ = transfer.place_;
  running_.pop_back();
  transfer.place_ = Transfer::kNowhere;
}

void CurlEngine::complete(const std::shared_ptr<Transfer>& transfer, CURLcode code) {
  if (transfer->place_ == Transfer::kNowhere) return;
  leave(*transfer);
  if (!transfer->over_) {
    transfer->over_ = true;
    transfer->finish(code);
  }
  transfer->release();
}

void CurlEngine::act(curl_socket_t fd, int events) {
  int still_running = 0;
  inside_ = true;
  curl_multi_socket_action(multi_, fd, events, &still_running);
  inside_ = false;
  settle();
}

/// What couldn't be done while curl was on the stack, then the transfers that curl has finished.
void CurlEngine::settle() {
  while (!leaving_.empty()) {
    const Ended ended = std::move(leaving_.back());
    leaving_.pop_back();
    complete(ended.transfer, ended.code);
  }
  if (!entering_.empty()) {
    std::vector<std::shared_ptr<Transfer>> entering;
    entering.swap(entering_);
    for (const auto& transfer : entering) {
      if (transfer->place_ != Transfer::kNowhere) add(*transfer);
    }
  }
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    const CURLcode code = message->data.result;
    Transfer* transfer = nullptr;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
    complete(transfer->shared_from_this(), code);
  }
}

// ---- sockets ----

CurlEngine::Socket& CurlEngine::socket(int fd) {
  const auto index = static_cast<std::size_t>(fd);
  if (index >= sockets_.size()) sockets_.resize(std::max<std::size_t>(index + 1, sockets_.size() * 2));
  return sockets_[index];
}

curl_socket_t CurlEngine::open_socket(const curl_sockaddr& address) {
  const int fd = ::socket(address.family, address.socktype | SOCK_CLOEXEC, address.protocol);
  if (fd < 0) return CURL_SOCKET_BAD;
  socket(fd).connection = true;
  return fd;
}

int CurlEngine::close_socket(curl_socket_t fd) {
  socket(fd) = Socket{};
  return ::close(fd);
}

void CurlEngine::want(int fd, int what) {
  Socket& s = socket(fd);
  s.wanted = what == CURL_POLL_REMOVE ? 0 : what & CURL_POLL_INOUT;
  // A connection keeps its watch from one request to the next: ending it and beginning another costs six
  // system calls.
  const bool rests = s.wanted == 0 && s.connection && s.watched == CURL_POLL_IN;
  if (s.wanted != s.watched && !rests) watch(fd);
  // One that never came about is closed by curl without a word to us.
  if (s.wanted == 0 && !rests) s.connection = false;
}

void CurlEngine::watch(int fd) {
  Socket& s = socket(fd);
  s.watch.reset();
  s.watched = s.wanted;
  if (s.wanted == 0) return;
  s.watch = loop_.watch(fd, static_cast<loop::Io>(s.wanted),
                        [this, fd](loop::Ready ready) { socket_ready(fd, ready); });
}

void CurlEngine::socket_ready(int fd, loop::Ready ready) {
  // An idle connection was closed, or spoken on out of turn: curl finds that by itself before it uses it
  // again.
  if (socket(fd).wanted == 0) return watch(fd);
  int events = 0;
  if (ready.readable) events |= CURL_CSELECT_IN;
  if (ready.writable) events |= CURL_CSELECT_OUT;
  if (ready.failed) {  // reading or writing tells curl what it is; the watch itself has ended
    events = CURL_CSELECT_IN | CURL_CSELECT_OUT | CURL_CSELECT_ERR;
    socket(fd).watch.reset();
    socket(fd).watched = 0;
  }
  act(fd, events);
  if (socket(fd).wanted != 0 && socket(fd).watched != socket(fd).wanted) watch(fd);
}

// ---- curl's timeout ----

/// Called by curl, which must not be called back from here.
void CurlEngine::wake_in(long wait_ms) {
  due_.reset();
  if (wait_ms < 0) return;
  if (wait_ms > 0) {
    const Millis wait{wait_ms};
    arm(MonoClock::now() + wait, wait);
    return;
  }
  if (kicked_) return;
  kicked_ = true;
  loop_.later([weak = std::weak_ptr(alive_)] {
    const auto engine = weak.lock();
    if (engine == nullptr) return;
    (*engine)->kicked_ = false;
    (*engine)->act(CURL_SOCKET_TIMEOUT, 0);
  });
}

/// Curl moves its timeout with every request: an armed timer that comes early enough is left to look again.
void CurlEngine::arm(Mono at, Millis wait) {
  due_ = at;
  if (timer_ && timer_at_ <= at) return;
  timer_at_ = at;
  timer_ = loop_.after(wait, [this] { timer_fired(); });
}

void CurlEngine::timer_fired() {
  timer_.reset();
  if (!due_) return;
  const auto now = MonoClock::now();
  if (now < *due_) {
    arm(*due_, std::chrono::ceil<Millis>(*due_ - now));
    return;
  }
  due_.reset();
  act(CURL_SOCKET_TIMEOUT, 0);
  if (due_ || kicked_) return;
  // Curl reports its timeout only when it has changed; ask, so that none is lost to rounding.
  long wait_ms = -1;
  curl_multi_timeout(multi_, &wait_ms);
  wake_in(wait_ms);
}

}  // namespace katana::net
