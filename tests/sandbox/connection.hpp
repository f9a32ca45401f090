#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "loop.hpp"

struct ssl_st;
struct ssl_ctx_st;

namespace sandbox {

/// Bytes read and not yet used. Always has 64 readable bytes behind its end, as the JSON parser wants.
class InputBuffer {
 public:
  static constexpr std::size_t kPadding = 64;
  std::string_view view() const { return {data_.get() + begin_, end_ - begin_}; }
  std::size_t size() const { return end_ - begin_; }
  bool empty() const { return end_ == begin_; }
  /// Room for at least this many more bytes; what was read is told by commit().
  char* prepare(std::size_t room);
  std::size_t room() const { return capacity_ - end_; }
  void commit(std::size_t count) { end_ += count; }
  void consume(std::size_t count);

 private:
  std::unique_ptr<char[]> data_;
  std::size_t capacity_ = 0;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

/// One TCP connection, plain or TLS, with buffers on both sides. Owned by whoever accepted it; `drop` hands
/// it to the loop's graveyard. Output is collected and written at the end of the turn, so head and body leave
/// in one write.
class Connection : public Watched, public Deferred {
 public:
  Connection(Loop& loop, int fd);
  ~Connection() override;

  bool is_open() const { return fd_ >= 0; }
  bool is_tls() const { return tls_ != nullptr; }
  void send(std::string_view bytes) { output().append(bytes); }
  /// The bytes to be written; whoever asks is going to append.
  std::string& output();
  void start_tls(ssl_ctx_st* context);

  void close_when_sent();
  /// Ends at once; `reset` makes the peer see ECONNRESET instead of an orderly end.
  void abort(bool reset = false);
  /// Faults: write in slices of this many bytes, one each gap; keep everything back until a moment; never
  /// write again.
  void slice_output(std::size_t bytes, Nanos gap);
  void hold_output_until(Nanos moment);
  void mute() { muted_ = true; }

  void on_ready(std::uint32_t events) final;
  void on_turn_end() final { flush(); }

 protected:
  virtual void on_input() = 0;
  /// The connection is over; called once.
  virtual void on_closed() = 0;
  void flush();
  Loop& loop_;
  InputBuffer in_;

 private:
  void receive();
  bool write_some();
  void want(std::uint32_t events);
  bool shake_hands();

  int fd_;
  ssl_st* tls_ = nullptr;
  bool shaking_hands_ = false;
  std::uint32_t wanted_ = 0;
  std::string out_;
  std::size_t sent_ = 0;
  std::size_t slice_ = 0;
  Nanos slice_gap_ = 0;
  bool closing_ = false;
  bool muted_ = false;
  std::unique_ptr<Timer> resume_;
};

/// A listening socket. `accepted` gets each new descriptor.
class Listener : public Watched {
 public:
  /// "127.0.0.1:0": throws when the address is bad or taken.
  Listener(Loop& loop, const std::string& address, std::function<void(int)> accepted);
  ~Listener() override;
  int port() const { return port_; }
  const std::string& host() const { return host_; }
  void on_ready(std::uint32_t events) override;

 private:
  Loop& loop_;
  std::function<void(int)> accepted_;
  int fd_ = -1;
  int port_ = 0;
  std::string host_;
};

/// A non-blocking connect to a numeric loopback address; -1 when it can't even begin.
int connect_loopback(const std::string& host, int port);

}  // namespace sandbox
