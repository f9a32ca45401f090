#include "common/bus/zap.hpp"

#include <array>
#include <bit>
#include <utility>
#include <vector>

#include <zmq.h>

#include "common/bus/keys.hpp"
#include "common/log/log.hpp"

namespace katana::bus {
namespace {

constexpr log::Room kLog{"bus"};

constexpr std::size_t kRawKey = 32;
constexpr std::string_view kOk = "200";
/// "Temporary failure". After a 400 a ZeroMQ client gives up for good, and its process would have to be
/// restarted once the operator has authorized the key; after a 300 it tries again when its handshake has run
/// out.
constexpr std::string_view kTryAgain = "300";

zmq::socket_t bind_handler(zmq::context_t& context) {
  zmq::socket_t socket(context, zmq::socket_type::rep);
  socket.set(zmq::sockopt::linger, 0);
  socket.bind("inproc://zeromq.zap.01");
  return socket;
}

/// All parts of the message that waits; none when none does.
std::vector<zmq::message_t> receive_parts(void* socket) {
  std::vector<zmq::message_t> parts;
  do {
    zmq::message_t part;
    if (zmq_msg_recv(part.handle(), socket, ZMQ_DONTWAIT) < 0) break;
    parts.push_back(std::move(part));
  } while (parts.back().more());
  return parts;
}

}  // namespace

Result<std::unique_ptr<Zap>> Zap::open(zmq::context_t& context, loop::Loop& loop,
                                       const std::filesystem::path& directory) {
  std::unique_ptr<Zap> zap;
  try {
    zap.reset(new Zap(context, loop, directory));
  } catch (const zmq::error_t& error) {
    return fail(Code::Internal, std::string("cannot open the handler of keys: ") + error.what());
  }
  if (auto read = zap->reload(); !read) return fail(read.error());
  return zap;
}

Zap::Zap(zmq::context_t& context, loop::Loop& loop, std::filesystem::path directory)
    : directory_(std::move(directory)),
      socket_(bind_handler(context)),
      watch_(loop, socket_.handle(), {[this] { return answer_one(); }, [](bool) {}}) {}

Result<void> Zap::reload() {
  auto keys = read_authorized(directory_);
  if (!keys) return fail(with_context(keys.error(), "reading the authorized keys"));
  std::set<std::string, std::less<>> admitted;
  for (const auto& [key, name] : *keys) {
    const auto known = users_.emplace(key, std::to_string(users_.size() + 1)).first;
    admitted.insert(known->second);
  }
  admitted_ = std::move(admitted);
  return {};
}

std::string Zap::user_of(const std::string& key) const {
  const auto found = users_.find(key);
  return found != users_.end() && admits(found->second) ? found->second : std::string();
}

// Request: version, request id, domain, address, routing id, mechanism, credentials. Reply: version, request
// id, status code, status text, user id, metadata.
bool Zap::answer_one() {
  const auto request = receive_parts(socket_.handle());
  if (request.empty()) return false;
  std::string user;
  std::string address = "nowhere";
  if (request.size() == 7 && request[5].to_string_view() == "CURVE" && request[6].size() == kRawKey) {
    std::array<char, kKeyCharacters + 1> key{};
    zmq_z85_encode(key.data(), request[6].data<std::uint8_t>(), kRawKey);
    user = user_of(key.data());
    address = request[3].to_string();
  }
  if (user.empty()) {
    // A refused peer tries again and again: the log hears of the 1st, 2nd, 4th, 8th … time.
    if (std::has_single_bit(++denied_)) {
      kLog.warn("refused a connection from {}: its key isn't in authorized/ (refused so far: {})", address,
                denied_);
    }
  }
  const std::string_view id = request.size() > 1 ? request[1].to_string_view() : std::string_view();
  const std::array<std::string_view, 6> reply = {
      "1.0", id, user.empty() ? kTryAgain : kOk, user.empty() ? "key not authorized" : "OK", user, ""};
  for (std::size_t i = 0; i < reply.size(); ++i) {
    zmq_send(socket_.handle(), reply[i].data(), reply[i].size(),
             ZMQ_DONTWAIT | (i + 1 < reply.size() ? ZMQ_SNDMORE : 0));
  }
  return true;
}

}  // namespace katana::bus
