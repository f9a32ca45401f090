#include "gateway/dispatch/pool.hpp"

namespace katana::gateway {

Worker& Pool::add(const bus::PeerId& peer, const bus::Hello& hello, Mono now) {
  Worker& w = workers_[peer];
  w.peer = peer;
  w.worker_id = hello.worker_id;
  w.provider = hello.provider;
  w.build = hello.build;
  w.last_seen = now;
  w.unreachable_since.reset();
  return w;
}

Worker* Pool::find(const bus::PeerId& peer) {
  const auto it = workers_.find(peer);
  return it == workers_.end() ? nullptr : &it->second;
}

Worker* Pool::find_by_id(const std::string& worker_id) {
  for (auto& [peer, w] : workers_) {
    if (w.worker_id == worker_id) return &w;
  }
  return nullptr;
}

Worker* Pool::pick(const std::string& provider) {
  Worker* best = nullptr;
  for (auto& [peer, w] : workers_) {
    if (w.provider != provider || w.room() == 0) continue;
    if (!best || w.outstanding.size() < best->outstanding.size()) best = &w;
  }
  return best;
}

std::vector<bus::PeerId> Pool::gone(Mono now) const {
  std::vector<bus::PeerId> peers;
  for (const auto& [peer, w] : workers_) {
    const bool silent = now - w.last_seen >= kGoneAfter;
    const bool closed = w.unreachable_since && now - *w.unreachable_since >= kComeBackWithin;
    if (silent || closed) peers.push_back(peer);
  }
  return peers;
}

int Pool::count(const std::string& provider) const {
  int n = 0;
  for (const auto& [peer, w] : workers_) {
    if (w.provider == provider && !w.unreachable_since) ++n;
  }
  return n;
}

}  // namespace katana::gateway
