#pragma once

#include <map>
#include <string>
#include <string_view>

#include "common/core/clock.hpp"
#include "common/core/secret.hpp"
#include "common/net/http_server.hpp"

namespace katana::watchdog {

/// Who may look at the page, and who may do more. Against three strangers: a name that leads to us and isn't
/// ours (DNS rebinding), another site's page in the operator's browser (CSRF), and one who guesses the token.
/// Pure; owned by the site.
class Gate {
 public:
  /// Wrong tokens that one address may give in kForget; more are answered with 429, and not logged. A right
  /// one counts all the same: behind a proxy everybody has one address, and a token is too long to be
  /// guessed.
  static constexpr int kTries = 10;
  static constexpr Seconds kForget{60};
  static constexpr std::size_t kPeers = 256;

  /// `listen`: `host:port`. `page_url`: under which people reach the page. `host`: this machine's name.
  Gate(Secret token, const std::string& listen, const std::string& page_url, const std::string& host);

  /// Without one nobody does more than look.
  [[nodiscard]] bool has_token() const { return !token_.empty(); }
  /// We are bound to more than this machine.
  [[nodiscard]] bool open_to_others() const { return open_to_others_; }
  /// Whether a request for that Host means us: addresses (a rebinding needs a name), `localhost`, this
  /// machine's name and the page's own. Without one it isn't a browser's.
  [[nodiscard]] bool serves(std::string_view host_header) const;
  /// Whether a request comes from our own page, or from no page at all.
  [[nodiscard]] bool from_us(const net::ServerRequest& request) const;

  enum class Pass {
    Granted,
    Missing,  ///< no token was given
    Wrong,
    TooMany,  ///< wrong ones from there
  };
  /// `Authorization: Bearer …`
  Pass check(const net::ServerRequest& request, Mono now);

 private:
  struct Guesses {
    int wrong = 0;
    Mono since{};
  };
  Guesses& guesses(const std::string& peer, Mono now);

  Secret token_;
  bool open_to_others_;
  std::string host_;
  std::string page_host_;    ///< without its port
  std::string page_origin_;  ///< `https://host`
  std::map<std::string, Guesses> guesses_;
};

}  // namespace katana::watchdog
