#include "common/net/mail_message.hpp"

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <string_view>

#include "common/core/text.hpp"

namespace katana::net {
namespace {

constexpr std::size_t kMaxSubject = 500;
constexpr std::size_t kLine = 76;  // of an encoded body, RFC 2045
/// Can't occur in quoted-printable text, where a hexadecimal digit follows every `=`.
constexpr std::string_view kBoundary = "=_katana_alternative";

bool printable_ascii(std::string_view s) {
  return std::all_of(s.begin(), s.end(), [](char c) { return c >= 0x20 && c < 0x7F; });
}

bool has_control(std::string_view s) {
  return std::any_of(s.begin(), s.end(), [](char c) {
    const auto b = static_cast<unsigned char>(c);
    return b < 0x20 || b == 0x7F;
  });
}

/// `local@domain` as far as it matters here: nothing that could end the address or the header.
bool is_address(std::string_view s) {
  const auto at = s.find('@');
  return at != 0 && at != std::string_view::npos && at + 1 < s.size() && s.size() <= 254 &&
         printable_ascii(s) && s.find_first_of(" <>(),;:\\\"", 0) == std::string_view::npos &&
         s.find('@', at + 1) == std::string_view::npos;
}

std::string base64(std::string_view bytes) {
  static constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const auto byte = [&](std::size_t k) {
      return k < bytes.size() ? static_cast<unsigned char>(bytes[k]) : 0U;
    };
    const unsigned group = byte(i) << 16 | byte(i + 1) << 8 | byte(i + 2);
    out += kDigits[group >> 18 & 63];
    out += kDigits[group >> 12 & 63];
    out += i + 1 < bytes.size() ? kDigits[group >> 6 & 63] : '=';
    out += i + 2 < bytes.size() ? kDigits[group & 63] : '=';
  }
  return out;
}

/// Header text: as it is when short ASCII, else in encoded words (RFC 2047), each of whole characters.
std::string encoded_words(std::string_view text) {
  constexpr std::size_t kPlain = 60;
  constexpr std::size_t kBytesAWord = 42;  // 56 digits and the 12 characters around them: under 75
  if (printable_ascii(text) && text.size() <= kPlain && text.find("=?") == std::string_view::npos) {
    return std::string(text);
  }
  std::string out;
  while (!text.empty()) {
    std::size_t n = std::min(text.size(), kBytesAWord);
    while (n < text.size() && (static_cast<unsigned char>(text[n]) & 0xC0) == 0x80)
      --n;
    if (!out.empty()) out += "\r\n ";
    out.append("=?UTF-8?B?").append(base64(text.substr(0, n))).append("?=");
    text.remove_prefix(n);
  }
  return out;
}

void quote(std::string& line, unsigned char c) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  line += '=';
  line += kHex[c >> 4];
  line += kHex[c & 15];
}

/// One line in quoted-printable (RFC 2045), broken softly where it grows too long.
void quoted_line(std::string& out, std::string_view line) {
  std::string part;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const auto c = static_cast<unsigned char>(line[i]);
    const bool last = i + 1 == line.size();
    const bool plain = (c > 0x20 && c < 0x7F && c != '=') || ((c == ' ' || c == '\t') && !last);
    if (part.size() + (plain ? 1 : 3) > kLine - 1) {
      out.append(part).append("=\r\n");
      part.clear();
    }
    if (plain) {
      part += static_cast<char>(c);
    } else {
      quote(part, c);
    }
  }
  out.append(part).append("\r\n");
}

std::string quoted_printable(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const auto end = text.find('\n');
    std::string_view line = text.substr(0, end);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    quoted_line(out, line);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return out;
}

std::string rfc_date(Wall when) {
  static constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::time_t seconds = to_unix(when);
  std::tm t{};
  gmtime_r(&seconds, &t);  // strftime would name days in the operator's language
  char out[96];
  std::snprintf(out, sizeof out, "%s, %02d %s %04d %02d:%02d:%02d +0000", kDays[t.tm_wday], t.tm_mday,
                kMonths[t.tm_mon], t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
  return out;
}

void part(std::string& out, std::string_view type, const std::string& body) {
  out.append("Content-Type: ").append(type).append("; charset=utf-8\r\n");
  out += "Content-Transfer-Encoding: quoted-printable\r\n\r\n";
  out += quoted_printable(text::sanitize(body));
}

std::string check(const MailMessage& m) {
  if (!is_address(m.from)) return "the sender isn't an e-mail address";
  if (m.to.empty()) return "there is no recipient";
  for (const auto& to : m.to) {
    if (!is_address(to)) return "a recipient isn't an e-mail address";
  }
  if (has_control(m.from_name)) return "the sender's name holds a control character";
  if (has_control(m.subject)) return "the subject holds a control character";
  if (m.subject.size() > kMaxSubject) return "the subject is over " + std::to_string(kMaxSubject) + " bytes";
  if (!is_address(m.message_id)) return "the message id isn't of the form left@right";
  if (!m.in_reply_to.empty() && !is_address(m.in_reply_to)) return "in-reply-to isn't a message id";
  for (const auto& id : m.references) {
    if (!is_address(id)) return "a reference isn't a message id";
  }
  return {};
}

std::string joined(const std::vector<std::string>& list, std::string_view left, std::string_view between,
                   std::string_view right) {
  std::string out;
  for (const auto& item : list) {
    if (!out.empty()) out += between;
    out.append(left).append(item).append(right);
  }
  return out;
}

/// A display name is a quoted string if it is ASCII, and encoded words if it isn't.
std::string mailbox(const std::string& name, const std::string& address) {
  if (name.empty()) return "<" + address + ">";
  const bool plain =
      printable_ascii(name) && name.find_first_of("\"\\") == std::string::npos && name.size() <= 60;
  return (plain ? "\"" + name + "\"" : encoded_words(text::sanitize(name))) + " <" + address + ">";
}

}  // namespace

Result<std::string> compose(const MailMessage& m) {
  if (const std::string wrong = check(m); !wrong.empty())
    return fail(Code::Rejected, "composing a mail: " + wrong);
  std::string out;
  out.reserve(1024 + 2 * (m.text.size() + m.html.size()));
  out.append("Date: ").append(rfc_date(m.date)).append("\r\n");
  out.append("Message-ID: <").append(m.message_id).append(">\r\n");
  out.append("From: ").append(mailbox(m.from_name, m.from)).append("\r\n");
  out.append("To: ").append(joined(m.to, "<", ",\r\n ", ">")).append("\r\n");
  out.append("Subject: ").append(encoded_words(text::sanitize(m.subject))).append("\r\n");
  if (!m.in_reply_to.empty()) out.append("In-Reply-To: <").append(m.in_reply_to).append(">\r\n");
  if (!m.references.empty())
    out.append("References: ").append(joined(m.references, "<", "\r\n ", ">")).append("\r\n");
  out += "Auto-Submitted: auto-generated\r\n";  // RFC 3834: no holiday notices in answer
  out += "X-Auto-Response-Suppress: All\r\n";   // the same for Exchange
  out += "MIME-Version: 1.0\r\n";
  if (m.html.empty()) {
    part(out, "text/plain", m.text);
    return out;
  }
  out.append("Content-Type: multipart/alternative; boundary=\"").append(kBoundary).append("\"\r\n\r\n");
  out.append("--").append(kBoundary).append("\r\n");
  part(out, "text/plain", m.text);
  out.append("--").append(kBoundary).append("\r\n");
  part(out, "text/html", m.html);
  out.append("--").append(kBoundary).append("--\r\n");
  return out;
}

}  // namespace katana::net
