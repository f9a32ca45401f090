#include <string>

#include "common/telegram/answers.hpp"
#include "tests/fuzz/target.hpp"

namespace katana::fuzz {
namespace {

template <class T>
void check(const telegram::ApiResult<T>& result) {
  if (result) return;
  const Error& error = result.error().error;
  require(!error.detail.empty(), "the error says why");
  require(!error.retry_after || error.retry_after->count() >= 0, "a wait isn't negative");
}

}  // namespace

/// What Telegram answers to a call. The first byte picks the status.
void run(std::string_view input) {
  if (input.empty()) return;
  static constexpr int kStatus[] = {200, 400, 401, 403, 404, 409, 429, 500, 502, 0};
  net::HttpResponse answer;
  answer.head.status = kStatus[static_cast<unsigned char>(input.front()) % std::size(kStatus)];
  answer.body = input.substr(1);
  answer.head.headers.emplace_back("date", input.substr(1, 40));
  check(telegram::read_done(answer));
  check(telegram::read_message_id(answer));
  check(telegram::read_user(answer));
  check(telegram::read_pending(answer));
  check(telegram::read_updates(answer));
}

}  // namespace katana::fuzz
