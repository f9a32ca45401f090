// A peer of the gateway's bus that doesn't mean well, for hosts_test.py.
//
//   stranger malformed ENDPOINT KEYS COUNT    so many frames that are none, with the worker's key in KEYS
//   stranger steal ENDPOINT KEYS WORKER_ID    says hello by another worker's name; prints whether it was
//   welcomed stranger later ENDPOINT KEYS WORKER_ID    the same as a program of a later version would, with
//   more in its frames stranger plain ENDPOINT                   speaks without any key; prints whether
//   anything came of it
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <thread>

#include <zmq.hpp>

#include "common/bus/codec.hpp"
#include "common/bus/keys.hpp"

namespace {

using namespace katana;

zmq::socket_t connect(zmq::context_t& context, const std::string& endpoint, const std::string& keys) {
  zmq::socket_t socket(context, zmq::socket_type::dealer);
  socket.set(zmq::sockopt::linger, 5'000);
  socket.set(zmq::sockopt::rcvtimeo, 3'000);
  if (!keys.empty()) {
    const auto pair = bus::read_pair(keys, "worker");
    const auto server = bus::read_public(keys, "server");
    if (!pair || !server) std::exit(2);
    socket.set(zmq::sockopt::curve_publickey, pair->public_key);
    socket.set(zmq::sockopt::curve_secretkey, pair->secret_key.reveal());
    socket.set(zmq::sockopt::curve_serverkey, *server);
  }
  socket.connect(endpoint);
  return socket;
}

std::string hello(const std::string& worker_id) {
  bus::Codec codec;
  const auto size =
      codec.stage(bus::Message(bus::Hello{bus::Role::Worker, worker_id, "claude", {}, "0", 1, {}}));
  std::string frame(size.value(), '\0');
  codec.write(frame.data());
  return frame;
}

int send_malformed(zmq::socket_t& socket, int count) {
  std::mt19937 random(1);
  for (int i = 0; i < count; ++i) {
    std::string frame(1 + random() % 200, '\0');
    for (char& c : frame)
      c = static_cast<char>(random());
    socket.send(zmq::buffer(frame), zmq::send_flags::none);
  }
  std::printf("sent %d\n", count);
  return 0;
}

int wait_for_answer(zmq::socket_t& socket) {
  zmq::message_t answer;
  const bool welcomed = socket.recv(answer).has_value();
  std::printf(welcomed ? "welcomed\n" : "refused\n");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 2 ? argv[1] : "";
  zmq::context_t context;
  if (what == "malformed" && argc == 5) {
    auto socket = connect(context, argv[2], argv[3]);
    return send_malformed(socket, std::atoi(argv[4]));
  }
  if (what == "steal" && argc == 5) {
    auto socket = connect(context, argv[2], argv[3]);
    socket.send(zmq::buffer(hello(argv[4])), zmq::send_flags::none);
    return wait_for_answer(socket);
  }
  if (what == "later" && argc == 5) {
    auto socket = connect(context, argv[2], argv[3]);
    const std::string unknown_field = "\x98\x06\x01";           // number 99
    const std::string unknown_body("\x08\x01\x92\x06\x00", 5);  // version 1, and number 98, empty
    socket.send(zmq::buffer(unknown_body), zmq::send_flags::none);
    socket.send(zmq::buffer(hello(argv[4]) + unknown_field), zmq::send_flags::none);
    return wait_for_answer(socket);
  }
  if (what == "plain" && argc == 3) {
    auto socket = connect(context, argv[2], "");
    socket.set(zmq::sockopt::linger, 0);
    socket.send(zmq::buffer(hello("plain")), zmq::send_flags::none);
    return wait_for_answer(socket);
  }
  std::fprintf(stderr, "stranger: see the head of stranger.cpp\n");
  return 2;
}
