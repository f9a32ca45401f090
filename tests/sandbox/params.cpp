#include "params.hpp"

#include <charconv>

namespace sandbox {
namespace {

/// The value of `name="…"`, or of `name=…`, in a Content-Disposition.
std::string_view attribute(std::string_view header, std::string_view name) {
  while (!header.empty()) {
    const auto semicolon = header.find(';');
    std::string_view part = header.substr(0, semicolon);
    while (take_prefix(part, " ")) {
    }
    if (take_prefix(part, name) && take_prefix(part, "=")) {
      if (!take_prefix(part, "\"")) return part;
      const std::string_view quoted = header.substr(static_cast<std::size_t>(part.data() - header.data()));
      return quoted.substr(0, quoted.find('"'));  // may hold a semicolon
    }
    if (semicolon == std::string_view::npos) break;
    header.remove_prefix(semicolon + 1);
  }
  return {};
}

std::string_view header_line(std::string_view head, std::string_view name) {
  while (!head.empty()) {
    const auto end = head.find("\r\n");
    const std::string_view line = head.substr(0, end);
    const auto colon = line.find(':');
    if (colon != std::string_view::npos && same_ignoring_case(line.substr(0, colon), name)) {
      std::string_view value = line.substr(colon + 1);
      while (take_prefix(value, " ")) {
      }
      return value;
    }
    if (end == std::string_view::npos) break;
    head.remove_prefix(end + 2);
  }
  return {};
}

}  // namespace

bool Params::read(const Request& request, std::string& why) {
  params_.clear();
  decoded_.clear();
  nested_.clear();
  read_form(request.query);
  if (request.body.empty()) return true;
  std::string_view type = request.header("content-type");
  const auto semicolon = type.find(';');
  const std::string_view parameters =
      semicolon == std::string_view::npos ? std::string_view() : type.substr(semicolon + 1);
  type = type.substr(0, semicolon);
  if (same_ignoring_case(type, "application/json")) {
    if (read_json(request.body)) return true;
    why = "Bad Request: can't parse JSON object";
    return false;
  }
  if (same_ignoring_case(type, "application/x-www-form-urlencoded")) {
    read_form(request.body);
    return true;
  }
  if (same_ignoring_case(type, "multipart/form-data")) {
    const auto at = parameters.find("boundary=");
    std::string_view boundary = at == std::string_view::npos ? std::string_view() : parameters.substr(at + 9);
    boundary = boundary.substr(0, boundary.find(';'));
    if (take_prefix(boundary, "\"")) boundary = boundary.substr(0, boundary.find('"'));
    if (!boundary.empty() && read_multipart(request.body, boundary)) return true;
    why = "Bad Request: can't parse multipart body";
    return false;
  }
  return true;  // the real server ignores a body of an unknown kind
}

bool Params::read_json(std::string_view body) {
  Json root;
  JsonObject fields;
  // Both of the server's buffers keep the parser's padding behind the body, so nothing is copied.
  if (parser_.parse(body.data(), body.size(), false).get(root) != simdjson::SUCCESS) return false;
  if (root.get(fields) != simdjson::SUCCESS) return false;
  for (const auto field : fields) {
    if (field.value.is_null()) continue;
    Param param;
    param.name = field.key;
    if (field.value.get(param.text) != simdjson::SUCCESS) {
      param.kind = Param::Kind::Value;
      param.value = field.value;
    }
    params_.push_back(param);
  }
  return true;
}

void Params::read_form(std::string_view form) {
  while (!form.empty()) {
    const auto amp = form.find('&');
    const std::string_view pair = form.substr(0, amp);
    const auto equals = pair.find('=');
    if (!pair.empty()) {
      Param param;
      param.name = decoded_.emplace_back(url_decode(pair.substr(0, equals)));
      if (equals != std::string_view::npos)
        param.text = decoded_.emplace_back(url_decode(pair.substr(equals + 1)));
      params_.push_back(param);
    }
    if (amp == std::string_view::npos) break;
    form.remove_prefix(amp + 1);
  }
}

bool Params::read_multipart(std::string_view body, std::string_view boundary) {
  const std::string mark = "--" + std::string(boundary);
  if (!take_prefix(body, mark)) return false;
  while (!take_prefix(body, "--")) {
    if (!take_prefix(body, "\r\n")) return false;
    const auto head_end = body.find("\r\n\r\n");
    if (head_end == std::string_view::npos) return false;
    const std::string_view head = body.substr(0, head_end);
    body.remove_prefix(head_end + 4);
    const auto end = body.find("\r\n" + mark);
    if (end == std::string_view::npos) return false;
    const std::string_view disposition = header_line(head, "content-disposition");
    Param param;
    param.name = attribute(disposition, "name");
    param.text = body.substr(0, end);
    param.file_name = attribute(disposition, "filename");
    param.content_type = header_line(head, "content-type");
    if (!param.file_name.empty()) param.kind = Param::Kind::File;
    params_.push_back(param);
    body.remove_prefix(end + 2 + mark.size());
  }
  return true;
}

const Param* Params::find(std::string_view name) const {
  for (const Param& param : params_) {
    if (param.name == name) return &param;
  }
  return nullptr;
}

std::string_view Params::text(std::string_view name) const {
  const Param* param = find(name);
  return param == nullptr ? std::string_view() : param->text;
}

std::optional<std::int64_t> Params::integer(std::string_view name) const {
  const Param* param = find(name);
  if (param == nullptr) return std::nullopt;
  std::int64_t number = 0;
  if (param->kind == Param::Kind::Value) {
    if (param->value.get(number) == simdjson::SUCCESS) return number;
    return std::nullopt;
  }
  const char* end = param->text.data() + param->text.size();
  const auto [stop, error] = std::from_chars(param->text.data(), end, number);
  if (error != std::errc() || stop != end) return std::nullopt;
  return number;
}

bool Params::flag(std::string_view name) const {
  const Param* param = find(name);
  if (param == nullptr) return false;
  bool flag = false;
  if (param->kind == Param::Kind::Value) return param->value.get(flag) == simdjson::SUCCESS && flag;
  return same_ignoring_case(param->text, "true") || param->text == "1" ||
         same_ignoring_case(param->text, "yes");
}

bool Params::json(std::string_view name, Json& value) {
  const Param* param = find(name);
  if (param == nullptr) return false;
  if (param->kind == Param::Kind::Value) {
    value = param->value;
    return true;
  }
  return nested_.emplace_back().parse(param->text.data(), param->text.size()).get(value) == simdjson::SUCCESS;
}

}  // namespace sandbox
