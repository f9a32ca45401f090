#include <chrono>
#include <string_view>

#include "common/net/curl_engine.hpp"

namespace katana::net {

std::optional<Wall> certificate_expiry(CURL* easy, CURLcode code) {
  constexpr long kExpired = 10;  // X509_V_ERR_CERT_HAS_EXPIRED of OpenSSL, by which curl was refused
  long verdict = 0;
  if (code == CURLE_PEER_FAILED_VERIFICATION &&
      curl_easy_getinfo(easy, CURLINFO_SSL_VERIFYRESULT, &verdict) == CURLE_OK && verdict == kExpired)
    return std::chrono::system_clock::now();  // since when isn't told
  curl_certinfo* info = nullptr;
  if (curl_easy_getinfo(easy, CURLINFO_CERTINFO, &info) != CURLE_OK || info == nullptr ||
      info->num_of_certs < 1)
    return std::nullopt;
  constexpr std::string_view kExpires = "Expire date:";
  for (const curl_slist* line = info->certinfo[0]; line != nullptr; line = line->next) {
    if (!std::string_view(line->data).starts_with(kExpires)) continue;
    const std::time_t expires = curl_getdate(line->data + kExpires.size(), nullptr);
    if (expires > 0) return from_unix(expires);
    break;
  }
  return std::nullopt;
}

}  // namespace katana::net
