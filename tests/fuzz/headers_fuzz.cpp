#include <string>

#include "common/core/dates.hpp"
#include "common/core/text.hpp"
#include "tests/fuzz/target.hpp"
#include "workers/http_rules.hpp"

namespace katana::fuzz {

/// The headers by which a provider asks us to wait.
void run(std::string_view input) {
  (void)parse_http_date(input);
  (void)parse_rfc3339(input);
  const auto span = workers::parse_span(input);
  require(!span || span->count() >= 0, "a span isn't negative");
  require(text::is_valid_utf8(workers::quote(input)), "a quotation is valid UTF-8");
  for (const char* name : {"retry-after", "retry-after-ms"}) {
    net::HttpHead head;
    head.status = 429;
    head.headers.emplace_back(name, input);
    const auto wait = workers::retry_after(head, from_unix(1'790'000'000));
    require(!wait || wait->count() >= 0, "a wait isn't negative");
  }
}

}  // namespace katana::fuzz
