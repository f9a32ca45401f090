#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/net/certificates.hpp"
#include "common/net/curl_engine.hpp"

/// Private to this room: one HTTP request on the engine.
namespace katana::net {

/// An easy handle with what it was last set to, so that the next request sets only what differs. Owned by
/// EasyPool, lent to one transfer at a time.
struct Easy {
  Easy();
  ~Easy();
  Easy(const Easy&) = delete;
  Easy& operator=(const Easy&) = delete;

  CURL* curl;
  std::vector<std::string> headers;
  curl_slist* header_list = nullptr;
  std::string method;
  bool plain = false;
  bool proxied = false;
  std::array<char, CURL_ERROR_SIZE> why{};
};

/// Easy handles that wait for their next request. They keep no connection: those belong to the engine.
class EasyPool {
 public:
  std::unique_ptr<Easy> take();
  void give_back(std::unique_ptr<Easy> easy);

 private:
  std::vector<std::unique_ptr<Easy>> idle_;
};

/// One HTTP request under way.
class HttpTransfer final : public Transfer {
 public:
  struct Shared {
    EasyPool& pool;
    Certificates& certificates;
  };
  HttpTransfer(CurlEngine& engine, Shared shared, HttpRequest request, HttpEvents events);
  /// Starts it, or reports later why it can't be.
  void begin();

 private:
  void finish(CURLcode code) override;
  void release() override;

  std::optional<Error> check() const;
  void set_up();
  void set_method();
  void set_headers();
  bool take_header(std::string_view line);
  bool end_of_head();
  bool take_body(std::string_view bytes);
  bool may_send();
  bool refuse(Code code, std::string detail);
  void watch_for_silence(Millis wait);
  void look_at_certificate(CURLcode code);
  Error why(CURLcode code);
  static std::size_t on_header(char* at, std::size_t size, std::size_t count, void* self);
  static std::size_t on_body(char* at, std::size_t size, std::size_t count, void* self);
  static int on_sending(void* self, char*, char*, int, int);

  Shared shared_;
  HttpRequest request_;
  HttpEvents events_;
  std::unique_ptr<Easy> handle_;
  HttpHead head_;
  bool head_done_ = false;
  std::size_t head_bytes_ = 0;
  std::size_t body_bytes_ = 0;
  std::string body_;
  std::optional<Error> refused_;  ///< our own reason to end the call
  Mono last_sign_{};              ///< of life from the other side
  curl_off_t uploaded_ = 0;
  loop::Timer silence_;
};

}  // namespace katana::net
