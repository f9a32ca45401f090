#include "common/net/http_transfer.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <ctime>

namespace katana::net {
namespace {

using MonoClock = std::chrono::steady_clock;

constexpr std::size_t kIdleHandles = 1024;
constexpr long kBuffer = 16 << 10;
constexpr std::size_t kMaxHead = 64 << 10;
constexpr std::size_t kMaxUrl = 16 << 10;
constexpr std::size_t kReserveAtMost = 1 << 20;

bool one_line_each(const std::vector<std::string>& headers) {
  return std::all_of(headers.begin(), headers.end(), [](const std::string& h) {
    return h.find_first_of(std::string_view("\r\n\0", 3)) == std::string::npos;
  });
}

bool begins_with(std::string_view s, std::string_view prefix) {
  return s.substr(0, prefix.size()) == prefix;
}

std::string_view trimmed(std::string_view s) {
  while (!s.empty() && (s.front() == ' ' || s.front() == '\t'))
    s.remove_prefix(1);
  while (!s.empty() && (s.back() == ' ' || s.back() == '\t' || s.back() == '\r' || s.back() == '\n')) {
    s.remove_suffix(1);
  }
  return s;
}

std::string lower(std::string_view s) {
  std::string out(s);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

std::string seconds(Millis ms) {
  const auto count = ms.count();
  return count % 1000 == 0 ? std::to_string(count / 1000) + " s" : std::to_string(count) + " ms";
}

}  // namespace

// ---- easy handles ----

Easy::Easy() : curl(curl_easy_init()) {
  set_common_options(curl);
  // HTTP/2 of libcurl 7.88.0 to 8.1.2 crashes (curl's own list of known bugs): Debian 12 has 7.88.1.
  curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, kBuffer);
  curl_easy_setopt(curl, CURLOPT_UPLOAD_BUFFERSIZE, kBuffer);
  curl_easy_setopt(curl, CURLOPT_DNS_CACHE_TIMEOUT, 60L);
  curl_easy_setopt(curl, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why.data());
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "katana/" KATANA_VERSION);
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https");
  // Gathered at each handshake: see look_at_certificate.
  curl_easy_setopt(curl, CURLOPT_CERTINFO, 1L);
  curl_easy_setopt(curl, CURLOPT_MAXLIFETIME_CONN, static_cast<long>(Certificates::kConnectionLife.count()));
}

Easy::~Easy() {
  curl_easy_cleanup(curl);
  curl_slist_free_all(header_list);
}

std::unique_ptr<Easy> EasyPool::take() {
  if (idle_.empty()) return std::make_unique<Easy>();
  auto easy = std::move(idle_.back());
  idle_.pop_back();
  return easy;
}

void EasyPool::give_back(std::unique_ptr<Easy> easy) {
  if (idle_.size() < kIdleHandles) idle_.push_back(std::move(easy));
}

// ---- beginning ----

HttpTransfer::HttpTransfer(CurlEngine& engine, Shared shared, HttpRequest request, HttpEvents events)
    : Transfer(engine), shared_(shared), request_(std::move(request)), events_(std::move(events)) {}

std::optional<Error> HttpTransfer::check() const {
  const bool secure = begins_with(request_.url, "https://");
  const bool plain = begins_with(request_.url, "http://");
  Error error{Code::Rejected, origin_of(request_.url) + ": ", {}, true};
  if (!secure && !plain) {
    error.detail += "only https:// addresses are asked";
  } else if (plain && !request_.allow_plain) {
    error.detail += "http:// is refused; only a base URL that the operator set may be plain";
  } else if (request_.url.size() > kMaxUrl) {
    error.detail += "the address is longer than " + std::to_string(kMaxUrl) + " bytes";
  } else if (!one_line_each(request_.headers)) {
    error.detail += "a header holds a line break";
  } else {
    return std::nullopt;
  }
  return error;
}

void HttpTransfer::begin() {
  if (auto error = check()) {
    const auto self = std::static_pointer_cast<HttpTransfer>(shared_from_this());
    engine_.loop().later([self, error = std::move(*error)]() mutable {
      if (self->over_) return;
      self->over_ = true;
      if (self->events_.on_done) self->events_.on_done(fail(std::move(error)));
    });
    return;
  }
  handle_ = shared_.pool.take();
  easy_ = handle_->curl;
  set_up();
  if (request_.stall_timeout.count() > 0) {
    last_sign_ = MonoClock::now();
    watch_for_silence(request_.stall_timeout);
  }
  engine_.start(shared_from_this());
}

void HttpTransfer::set_up() {
  handle_->why[0] = '\0';
  curl_easy_setopt(easy_, CURLOPT_URL, request_.url.c_str());
  set_method();
  set_headers();
  curl_easy_setopt(easy_, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(request_.connect_timeout.count()));
  curl_easy_setopt(easy_, CURLOPT_TIMEOUT_MS, static_cast<long>(request_.total_timeout.count()));
  if (handle_->plain != request_.allow_plain) {
    handle_->plain = request_.allow_plain;
    curl_easy_setopt(easy_, CURLOPT_PROTOCOLS_STR, request_.allow_plain ? "http,https" : "https");
  }
  if (handle_->proxied || !request_.proxy.empty()) {
    handle_->proxied = !request_.proxy.empty();
    curl_easy_setopt(easy_, CURLOPT_PROXY, request_.proxy.reveal().c_str());
  }
  curl_easy_setopt(easy_, CURLOPT_HEADERFUNCTION, &HttpTransfer::on_header);
  curl_easy_setopt(easy_, CURLOPT_HEADERDATA, this);
  curl_easy_setopt(easy_, CURLOPT_WRITEFUNCTION, &HttpTransfer::on_body);
  curl_easy_setopt(easy_, CURLOPT_WRITEDATA, this);
  curl_easy_setopt(easy_, CURLOPT_PREREQFUNCTION, &HttpTransfer::on_sending);
  curl_easy_setopt(easy_, CURLOPT_PREREQDATA, this);
}

void HttpTransfer::set_method() {
  const bool with_body = request_.method == "POST" || !request_.body.empty();
  if (with_body) {  // not copied: curl sends it from here, head and body in one write while it is small
    curl_easy_setopt(easy_, CURLOPT_POST, 1L);
    curl_easy_setopt(easy_, CURLOPT_POSTFIELDS, request_.body.c_str());
    curl_easy_setopt(easy_, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request_.body.size()));
  } else {
    curl_easy_setopt(easy_, CURLOPT_HTTPGET, 1L);
    if (request_.method == "HEAD") curl_easy_setopt(easy_, CURLOPT_NOBODY, 1L);
  }
  const bool named_by_curl = request_.method == (with_body ? "POST" : "GET") || request_.method == "HEAD";
  curl_easy_setopt(easy_, CURLOPT_CUSTOMREQUEST, named_by_curl ? nullptr : request_.method.c_str());
}

void HttpTransfer::set_headers() {
  if (handle_->header_list != nullptr && handle_->headers == request_.headers) return;
  curl_slist_free_all(handle_->header_list);
  // Without this, curl holds back a body above 1 MiB until the server has said 100, for up to a second.
  handle_->header_list = curl_slist_append(nullptr, "Expect:");
  for (const auto& header : request_.headers) {
    handle_->header_list = curl_slist_append(handle_->header_list, header.c_str());
  }
  handle_->headers = request_.headers;
  curl_easy_setopt(easy_, CURLOPT_HTTPHEADER, handle_->header_list);
}

// ---- what curl reports ----

/// Curl sends a request again by itself when a connection that it used before closes without an answer. A
/// server may have acted on the first copy, so that is for requests that change nothing, and for those of
/// which no byte was sent.
bool HttpTransfer::may_send() {
  last_sign_ = MonoClock::now();
  if (request_.method == "GET" || request_.method == "HEAD") return true;
  long sent = 0;
  curl_easy_getinfo(easy_, CURLINFO_REQUEST_SIZE, &sent);
  if (sent == 0) return true;
  return refuse(Code::Network, "the connection closed before an answer came");
}

int HttpTransfer::on_sending(void* self, char*, char*, int, int) {
  return static_cast<HttpTransfer*>(self)->may_send() ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
}

std::size_t HttpTransfer::on_header(char* at, std::size_t size, std::size_t count, void* self) {
  return static_cast<HttpTransfer*>(self)->take_header({at, size * count}) ? size * count : 0;
}

std::size_t HttpTransfer::on_body(char* at, std::size_t size, std::size_t count, void* self) {
  return static_cast<HttpTransfer*>(self)->take_body({at, size * count}) ? size * count : 0;
}

bool HttpTransfer::refuse(Code code, std::string detail) {
  refused_ = Error{code, origin_of(request_.url) + ": " + std::move(detail)};
  return false;
}

bool HttpTransfer::take_header(std::string_view line) {
  if (over_) return false;
  if (head_done_) return true;  // a trailer
  head_bytes_ += line.size();
  if (head_bytes_ > kMaxHead) {
    return refuse(Code::Malformed, "the answer's head is over " + std::to_string(kMaxHead) + " bytes");
  }
  last_sign_ = MonoClock::now();
  line = trimmed(line);
  if (line.empty()) return end_of_head();
  if (begins_with(line, "HTTP/")) {
    const auto space = line.find(' ');
    const auto digits = space == std::string_view::npos ? std::string_view{} : line.substr(space + 1, 3);
    std::from_chars(digits.data(), digits.data() + digits.size(), head_.status);
    return true;
  }
  const auto colon = line.find(':');
  if (colon == std::string_view::npos) return true;
  head_.headers.emplace_back(lower(line.substr(0, colon)), trimmed(line.substr(colon + 1)));
  return true;
}

bool HttpTransfer::end_of_head() {
  if (head_.status < 200) {  // 100 Continue, 103 Early Hints: the real head follows
    head_ = HttpHead{};
    return true;
  }
  head_done_ = true;
  if (events_.on_head) events_.on_head(head_);
  return !over_;
}

bool HttpTransfer::take_body(std::string_view bytes) {
  if (over_) return false;
  last_sign_ = MonoClock::now();
  body_bytes_ += bytes.size();
  if (body_bytes_ > request_.max_body) {
    return refuse(Code::Malformed,
                  "the answer is over the limit of " + std::to_string(request_.max_body) + " bytes");
  }
  if (events_.on_data) {
    events_.on_data(bytes);
    return !over_;
  }
  if (body_.empty()) {
    curl_off_t length = 0;
    curl_easy_getinfo(easy_, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    const auto announced = static_cast<std::size_t>(std::max<curl_off_t>(length, 0));
    body_.reserve(std::min({announced, request_.max_body, kReserveAtMost}));
  }
  body_.append(bytes);
  return true;
}

/// One timer that looks again rather than one that moves with every byte. Sent bytes are a sign of life too.
void HttpTransfer::watch_for_silence(Millis wait) {
  silence_ = engine_.loop().after(wait, [this] {
    curl_off_t uploaded = 0;
    curl_easy_getinfo(easy_, CURLINFO_SIZE_UPLOAD_T, &uploaded);
    const auto now = MonoClock::now();
    if (uploaded != uploaded_) last_sign_ = now;
    uploaded_ = uploaded;
    const auto left = std::chrono::ceil<Millis>(last_sign_ + request_.stall_timeout - now);
    if (left.count() > 0) return watch_for_silence(left);
    refuse(Code::Timeout, "nothing came for " + seconds(request_.stall_timeout));
    engine_.give_up(*this, CURLE_OPERATION_TIMEDOUT);
  });
}

// ---- ending ----

void HttpTransfer::look_at_certificate(CURLcode code) {
  if (!begins_with(request_.url, "https://")) return;
  if (const auto expires = certificate_expiry(easy_, code))
    shared_.certificates.saw(origin_of(request_.url), *expires, MonoClock::now());
}

Error HttpTransfer::why(CURLcode code) {
  if (refused_) return *refused_;
  const std::string origin = origin_of(request_.url);
  std::string because;
  if (code == CURLE_OPERATION_TIMEDOUT) {
    curl_off_t connected = 0;
    curl_easy_getinfo(easy_, CURLINFO_PRETRANSFER_TIME_T, &connected);
    const bool connecting = connected == 0 && (request_.total_timeout.count() == 0 ||
                                               request_.connect_timeout <= request_.total_timeout);
    because = connecting ? "no connection within " + seconds(request_.connect_timeout)
                         : "no whole answer within " + seconds(request_.total_timeout);
  } else if (curl_error_is_about_tls(code)) {
    because = handle_->why.data();  // names the certificate's fault; the other texts may quote the address
  } else if (code == CURLE_UNSUPPORTED_PROTOCOL) {
    because = "the answer isn't HTTP";
  } else if (code == CURLE_PARTIAL_FILE) {
    because = "the connection closed in the middle of the answer";
  }
  return curl_error(easy_, code, origin, because);
}

void HttpTransfer::finish(CURLcode code) {
  silence_.reset();
  look_at_certificate(code);
  const auto done = std::move(events_.on_done);
  Result<HttpResponse> result;
  if (code == CURLE_OK) {
    result = HttpResponse{std::move(head_), std::move(body_)};
  } else {
    result = fail(why(code));
  }
  release();  // before the callback: what it starts next finds a warm handle
  if (done) done(std::move(result));
}

void HttpTransfer::release() {
  silence_.reset();
  events_ = HttpEvents{};
  if (handle_ != nullptr) shared_.pool.give_back(std::move(handle_));
  easy_ = nullptr;
}

}  // namespace katana::net
