#include <string>

#include "common/net/curl_engine.hpp"

namespace katana::net {
namespace {

Code code_of(CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_PROXY:
    case CURLE_SSL_SHUTDOWN_FAILED:
    case CURLE_SEND_ERROR:
    case CURLE_SEND_FAIL_REWIND:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_ABORTED_BY_CALLBACK:
      return Code::Network;
    case CURLE_OPERATION_TIMEDOUT:
      return Code::Timeout;
    case CURLE_UNSUPPORTED_PROTOCOL:  // the scheme was checked before: this is an answer without a status
                                      // line
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
    case CURLE_WRITE_ERROR:
      return Code::Malformed;
    case CURLE_LOGIN_DENIED:
      return Code::Auth;
    case CURLE_URL_MALFORMAT:
    case CURLE_USE_SSL_FAILED:
      return Code::Rejected;
    default:
      return curl_error_is_about_tls(code) ? Code::Network : Code::Internal;
  }
}

/// Failures before a request can be on its way. Only a sign: curl may have sent it on an older connection
/// first.
bool before_sending(CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_PROXY:
    case CURLE_URL_MALFORMAT:
    case CURLE_OPERATION_TIMEDOUT:
      return true;
    default:
      return curl_error_is_about_tls(code);
  }
}

}  // namespace

bool curl_error_is_about_tls(CURLcode code) {
  switch (code) {
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
      return true;
    default:
      return false;
  }
}

std::string origin_of(std::string_view url) {
  const auto scheme = url.find("://");
  if (scheme == std::string_view::npos) return "(not a URL)";
  auto host = url.substr(scheme + 3);
  host = host.substr(0, host.find_first_of("/?#\\"));
  if (const auto at = host.rfind('@'); at != std::string_view::npos) host.remove_prefix(at + 1);
  return std::string(url.substr(0, scheme + 3)) + std::string(host);
}

Error curl_error(CURL* easy, CURLcode code, std::string_view origin, std::string_view because) {
  Error error;
  error.code = code_of(code);
  long sent = 0;
  curl_easy_getinfo(easy, CURLINFO_REQUEST_SIZE, &sent);
  error.never_left = sent == 0 && before_sending(code);
  error.detail = std::string(origin) + ": " +
                 (because.empty() ? std::string(curl_easy_strerror(code)) : std::string(because));
  return error;
}

}  // namespace katana::net
