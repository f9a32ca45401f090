#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/bus/message.hpp"
#include "common/core/clock.hpp"
#include "common/core/result.hpp"
#include "workers/provider.hpp"

namespace katana::workers {

/// Pulls the attachments of jobs from the gateway in parts, at most 4 asked for at a time, checks size and
/// SHA-256, and hands a job its files once all are whole. Jobs that need the same file share it. Owned by the
/// worker; pure: parts come in, questions go out, time is an argument.
class BlobPuller {
 public:
  static constexpr std::size_t kInFlight = 4;
  static constexpr std::uint64_t kMaxBlob = 32 << 20;
  static constexpr std::uint64_t kMaxHeld = 256 << 20;  ///< bytes of all files, whole and in the making
  static constexpr Millis kAskAgain{5'000};
  static constexpr int kAsks = 6;

  /// False: could not be sent now.
  using Ask = std::function<bool(std::size_t gateway, const bus::BlobGet&)>;
  using Done = std::function<void(const std::string& job_id, Result<Blobs>)>;
  BlobPuller(Ask ask, Done done) : ask_(std::move(ask)), done_(std::move(done)) {}

  /// `done` may come from inside, when all files are there already or can't be had.
  void pull(const std::string& job_id, std::size_t gateway, const std::vector<bus::Turn>& turns, Mono now);
  void on_part(const bus::BlobPart& part, Mono now);
  /// The job no longer wants its files.
  void drop(const std::string& job_id);
  /// Asks again for what was asked of that gateway before its connection broke, or for a while.
  void tick(Mono now);
  /// The gateway that holds the job's files is another one now.
  void move(const std::string& job_id, std::size_t gateway);
  [[nodiscard]] bool idle() const { return wanted_.empty(); }

 private:
  struct Wanted {
    std::size_t gateway = 0;
    std::vector<std::string> missing;  ///< SHA-256 of files that aren't whole yet
    Blobs have;
  };
  struct Part {
    bool asked = false;
    Mono asked_at{};
    int asks = 0;
    std::string bytes;
    std::uint64_t size = 0;
    std::size_t gateway = 0;
  };
  void ask_next(Mono now);
  void finish(const std::string& sha256, Part& file);
  void fail_all(const std::string& sha256, const Error& error);
  void forget(const std::string& sha256);
  [[nodiscard]] std::uint64_t held() const;

  Ask ask_;
  Done done_;
  std::map<std::string, Wanted> wanted_;                           ///< by job
  std::map<std::string, Part> coming_;                             ///< by SHA-256
  std::map<std::string, std::weak_ptr<const std::string>> whole_;  ///< as long as a job holds it
};

}  // namespace katana::workers
