#pragma once

#include <memory>
#include <string>

#include "provider.hpp"

namespace sandbox {

class Generation : public Mortal, public Pending {
 public:
  Generation(Providers& providers, HttpConnection& connection, Ask ask, Script script,
             std::unique_ptr<Dialect> dialect);
  void begin(Nanos received);
  void connection_gone() override;

 private:
  void step();
  bool misfortune();
  void finish();
  void reply_whole();
  std::string_view next_piece();
  std::string_view stop_reason() const;
  void over();

  Providers& providers_;
  HttpConnection* connection_;
  Ask ask_;
  Script script_;
  std::unique_ptr<Dialect> dialect_;
  Timer timer_;
  std::string text_;
  std::string out_;
  std::size_t at_ = 0;       ///< where the next piece of the text begins
  std::int64_t pieces_ = 0;  ///< in all
  std::int64_t sent_ = 0;
  std::size_t piece_bytes_ = 0;  ///< 0: a piece is a word
  bool begun_ = false;
  bool capped_ = false;
  Nanos next_ = 0;
};

}  // namespace sandbox
