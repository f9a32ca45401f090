#include "common/net/curl_client.hpp"

#include "common/net/http_transfer.hpp"
#include "common/net/mail_thread.hpp"

namespace katana::net {

struct CurlClient::Impl {
  explicit Impl(loop::Loop& loop) : engine(loop), mails(loop, certificates) {}
  Certificates certificates;
  EasyPool pool;  // outlives the engine, which gives it the handles of what still runs
  CurlEngine engine;
  MailThread mails;
};

CurlClient::CurlClient(loop::Loop& loop) : impl_(std::make_unique<Impl>(loop)) {}

CurlClient::~CurlClient() = default;

HttpCall CurlClient::start(HttpRequest request, HttpEvents events) {
  auto transfer =
      std::make_shared<HttpTransfer>(impl_->engine, HttpTransfer::Shared{impl_->pool, impl_->certificates},
                                     std::move(request), std::move(events));
  transfer->begin();
  return HttpCall(std::move(transfer));
}

HttpCall CurlClient::send(Mail mail, std::function<void(Result<std::string>)> on_done) {
  return impl_->mails.send(std::move(mail), std::move(on_done));
}

std::optional<Certificate> CurlClient::earliest_certificate() const {
  return impl_->certificates.earliest(std::chrono::steady_clock::now());
}

}  // namespace katana::net
