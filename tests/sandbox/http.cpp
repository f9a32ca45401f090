#include "http.hpp"

#include <charconv>
#include <cstring>

namespace sandbox {
namespace {

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t'))
    text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t'))
    text.remove_suffix(1);
  return text;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = lower(c);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool parse_request_line(std::string_view line, Request& request) {
  const auto first = line.find(' ');
  const auto last = line.rfind(' ');
  if (first == std::string_view::npos || first == 0 || last == first) return false;
  const std::string_view version = line.substr(last + 1);
  if (version != "HTTP/1.1" && version != "HTTP/1.0") return false;
  request.old_http = version == "HTTP/1.0";
  request.keep_alive = !request.old_http;
  request.method = line.substr(0, first);
  std::string_view target = line.substr(first + 1, last - first - 1);
  if (target.empty() || target.front() != '/') {
    const auto scheme = target.find("://");  // absolute form, as sent through a proxy
    if (scheme == std::string_view::npos) return false;
    const auto slash = target.find('/', scheme + 3);
    target = slash == std::string_view::npos ? std::string_view("/") : target.substr(slash);
  }
  const auto question = target.find('?');
  request.path = target.substr(0, question);
  request.query = question == std::string_view::npos ? std::string_view() : target.substr(question + 1);
  return true;
}

/// What the server itself needs from a header. False: contradictory or unreadable framing.
bool heed(const Header& header, Request& request, Framing& framing) {
  switch (lower(header.name.front())) {
    case 'c':
      if (same_ignoring_case(header.name, "content-length")) {
        const char* end = header.value.data() + header.value.size();
        const auto [stop, error] = std::from_chars(header.value.data(), end, framing.content_length);
        return error == std::errc() && stop == end;
      }
      if (same_ignoring_case(header.name, "connection")) {
        if (same_ignoring_case(header.value, "close")) request.keep_alive = false;
        if (same_ignoring_case(header.value, "keep-alive")) request.keep_alive = true;
      }
      return true;
    case 't':
      if (same_ignoring_case(header.name, "transfer-encoding")) {
        framing.chunked = same_ignoring_case(header.value, "chunked");
        return framing.chunked;
      }
      return true;
    case 'e':
      if (same_ignoring_case(header.name, "expect"))
        framing.expects_continue = same_ignoring_case(header.value, "100-continue");
      return true;
    default:
      return true;
  }
}

}  // namespace

bool same_ignoring_case(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (lower(a[i]) != lower(b[i])) return false;
  }
  return true;
}

bool take_prefix(std::string_view& text, std::string_view prefix) {
  if (text.substr(0, prefix.size()) != prefix) return false;
  text.remove_prefix(prefix.size());
  return true;
}

std::string_view Request::header(std::string_view name) const {
  for (const Header& header : headers) {
    if (same_ignoring_case(header.name, name)) return header.value;
  }
  return {};
}

bool Request::has_header(std::string_view name) const {
  for (const Header& header : headers) {
    if (same_ignoring_case(header.name, name)) return true;
  }
  return false;
}

Parse parse_head(std::string_view input, Request& request, Framing& framing) {
  framing = Framing();
  const void* found = memmem(input.data(), input.size(), "\r\n\r\n", 4);
  if (found == nullptr) return input.size() > kMaxHead ? Parse::TooLarge : Parse::Incomplete;
  const std::size_t head = static_cast<std::size_t>(static_cast<const char*>(found) - input.data());
  if (head > kMaxHead) return Parse::TooLarge;
  framing.head_size = head + 4;
  request.headers.clear();
  std::string_view rest = input.substr(0, head + 2);
  auto end = rest.find("\r\n");
  if (!parse_request_line(rest.substr(0, end), request)) return Parse::Bad;
  rest.remove_prefix(end + 2);
  while (!rest.empty()) {
    end = rest.find("\r\n");
    const std::string_view line = rest.substr(0, end);
    const auto colon = line.find(':');
    if (colon == std::string_view::npos || colon == 0) return Parse::Bad;
    request.headers.push_back({line.substr(0, colon), trimmed(line.substr(colon + 1))});
    if (!heed(request.headers.back(), request, framing)) return Parse::Bad;
    rest.remove_prefix(end + 2);
  }
  if (framing.chunked && framing.content_length > 0) return Parse::Bad;
  return framing.content_length > kMaxBody ? Parse::TooLarge : Parse::Done;
}

Parse Dechunker::feed(std::string_view input, std::size_t& used, std::string& body) {
  used = 0;
  while (used < input.size()) {
    const char c = input[used];
    switch (state_) {
      case State::Size: {
        const int digit = hex_digit(c);
        if (digit >= 0) {
          if (++digits_ > 8) return Parse::TooLarge;
          left_ = left_ * 16 + static_cast<std::size_t>(digit);
        } else if (digits_ == 0) {
          return Parse::Bad;
        } else if (c == '\r') {
          state_ = State::SizeEnd;
        } else if (c == ';' || c == ' ') {
          state_ = State::Extension;
        } else {
          return Parse::Bad;
        }
        break;
      }
      case State::Extension:
        if (c == '\r') state_ = State::SizeEnd;
        break;
      case State::SizeEnd:
        if (c != '\n') return Parse::Bad;
        if (body.size() + left_ > kMaxBody) return Parse::TooLarge;
        state_ = left_ == 0 ? State::Trailer : State::Data;
        break;
      case State::Data: {
        const std::size_t part = std::min(left_, input.size() - used);
        body.append(input.substr(used, part));
        used += part;
        left_ -= part;
        if (left_ == 0) state_ = State::DataEnd;
        continue;
      }
      case State::DataEnd:
        if (c != '\r') return Parse::Bad;
        state_ = State::DataEndLf;
        break;
      case State::DataEndLf:
        if (c != '\n') return Parse::Bad;
        state_ = State::Size;
        digits_ = 0;
        break;
      case State::Trailer:
        state_ = c == '\r' ? State::TrailerEnd : State::TrailerLine;
        break;
      case State::TrailerLine:
        if (c == '\n') state_ = State::Trailer;
        break;
      case State::TrailerEnd:
        if (c != '\n') return Parse::Bad;
        ++used;
        return Parse::Done;
    }
    ++used;
  }
  return Parse::Incomplete;
}

std::string url_decode(std::string_view text, bool plus_is_space) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && hex_digit(text[i + 1]) >= 0 && hex_digit(text[i + 2]) >= 0) {
      out += static_cast<char>(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2]));
      i += 2;
    } else {
      out += text[i] == '+' && plus_is_space ? ' ' : text[i];
    }
  }
  return out;
}

std::string query_value(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const auto amp = query.find('&');
    const std::string_view pair = query.substr(0, amp);
    const auto equals = pair.find('=');
    if (pair.substr(0, equals) == name) {
      return equals == std::string_view::npos ? std::string() : url_decode(pair.substr(equals + 1));
    }
    if (amp == std::string_view::npos) break;
    query.remove_prefix(amp + 1);
  }
  return {};
}

}  // namespace sandbox
