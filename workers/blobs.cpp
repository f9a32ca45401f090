#include "workers/blobs.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include <openssl/evp.h>

namespace katana::workers {
namespace {

std::string sha256_hex(const std::string& bytes) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  if (EVP_Digest(bytes.data(), bytes.size(), digest.data(), &size, EVP_sha256(), nullptr) != 1) return {};
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  for (unsigned int i = 0; i < size; ++i) {
    out += kHex[digest[i] >> 4];
    out += kHex[digest[i] & 15];
  }
  return out;
}

}  // namespace

std::uint64_t BlobPuller::held() const {
  std::uint64_t bytes = 0;
  for (const auto& [sha, file] : coming_)
    bytes += file.size;
  for (const auto& [sha, file] : whole_) {
    if (const auto whole = file.lock()) bytes += whole->size();
  }
  return bytes;
}

void BlobPuller::pull(const std::string& job_id, std::size_t gateway, const std::vector<bus::Turn>& turns,
                      Mono now) {
  Wanted wanted{.gateway = gateway};
  std::vector<const bus::Attachment*> fresh;
  for (const bus::Turn& turn : turns) {
    for (const bus::Attachment& attachment : turn.attachments) {
      const std::string& sha = attachment.sha256;
      if (wanted.have.count(sha) > 0 || std::count(wanted.missing.begin(), wanted.missing.end(), sha) > 0)
        continue;
      const auto known = whole_.find(sha);
      if (auto whole = known == whole_.end() ? nullptr : known->second.lock()) {
        wanted.have.emplace(sha, std::move(whole));
        continue;
      }
      if (attachment.size > kMaxBlob) {
        return done_(job_id, fail(Code::Rejected, "an attachment of " + std::to_string(attachment.size) +
                                                      " bytes; the limit is " + std::to_string(kMaxBlob)));
      }
      wanted.missing.push_back(sha);
      if (coming_.count(sha) == 0) fresh.push_back(&attachment);
    }
  }
  if (wanted.missing.empty()) return done_(job_id, std::move(wanted.have));
  std::uint64_t more = 0;
  for (const auto* attachment : fresh)
    more += attachment->size;
  if (held() + more > kMaxHeld)
    return done_(job_id, fail(Code::Overloaded, "this worker's memory for files is full"));
  for (const auto* attachment : fresh) {
    coming_.emplace(attachment->sha256, Part{.size = attachment->size, .gateway = gateway});
  }
  wanted_.insert_or_assign(job_id, std::move(wanted));
  ask_next(now);
}

void BlobPuller::ask_next(Mono now) {
  auto in_flight = static_cast<std::size_t>(
      std::count_if(coming_.begin(), coming_.end(), [](const auto& file) { return file.second.asked; }));
  for (auto& [sha, file] : coming_) {
    if (in_flight >= kInFlight) return;
    if (file.asked) continue;
    if (!ask_(file.gateway, bus::BlobGet{sha, file.bytes.size()})) continue;  // `tick` tries again
    file.asked = true;
    file.asked_at = now;
    ++file.asks;
    ++in_flight;
  }
}

void BlobPuller::on_part(const bus::BlobPart& part, Mono now) {
  const auto at = coming_.find(part.sha256);
  if (at == coming_.end() || part.offset != at->second.bytes.size()) return;  // late, or repeated
  Part& file = at->second;
  if (part.missing) return fail_all(part.sha256, {Code::Rejected, "an attachment is no longer to be had"});
  if (file.bytes.size() + part.data.size() > file.size || (part.data.empty() && !part.last)) {
    return fail_all(part.sha256, {Code::Malformed, "an attachment isn't as large as the job says"});
  }
  file.bytes += part.data;
  file.asked = false;
  file.asks = 0;
  if (part.last) finish(part.sha256, file);
  ask_next(now);
}

void BlobPuller::finish(const std::string& sha256, Part& file) {
  if (file.bytes.size() != file.size || sha256_hex(file.bytes) != sha256) {
    return fail_all(sha256, {Code::Malformed, "an attachment isn't the file that the job names"});
  }
  const auto whole = std::make_shared<const std::string>(std::move(file.bytes));
  whole_.insert_or_assign(sha256, whole);
  coming_.erase(sha256);
  std::vector<std::pair<std::string, Blobs>> ready;
  for (auto job = wanted_.begin(); job != wanted_.end();) {
    Wanted& wanted = job->second;
    if (std::erase(wanted.missing, sha256) > 0) wanted.have.emplace(sha256, whole);
    if (!wanted.missing.empty()) {
      ++job;
      continue;
    }
    ready.emplace_back(job->first, std::move(wanted.have));
    job = wanted_.erase(job);
  }
  for (auto& [job_id, blobs] : ready)
    done_(job_id, std::move(blobs));
}

void BlobPuller::fail_all(const std::string& sha256, const Error& error) {
  coming_.erase(sha256);
  std::vector<std::string> failed;
  for (const auto& [job_id, wanted] : wanted_) {
    if (std::count(wanted.missing.begin(), wanted.missing.end(), sha256) > 0) failed.push_back(job_id);
  }
  for (const std::string& job_id : failed) {
    drop(job_id);
    done_(job_id, fail(error));
  }
}

void BlobPuller::drop(const std::string& job_id) {
  const auto job = wanted_.find(job_id);
  if (job == wanted_.end()) return;
  const std::vector<std::string> missing = std::move(job->second.missing);
  wanted_.erase(job);
  for (const std::string& sha : missing)
    forget(sha);
}

/// A file that no job waits for any more isn't pulled on.
void BlobPuller::forget(const std::string& sha256) {
  for (const auto& [job_id, wanted] : wanted_) {
    if (std::count(wanted.missing.begin(), wanted.missing.end(), sha256) > 0) return;
  }
  coming_.erase(sha256);
}

void BlobPuller::move(const std::string& job_id, std::size_t gateway) {
  const auto job = wanted_.find(job_id);
  if (job == wanted_.end()) return;
  job->second.gateway = gateway;
  for (const std::string& sha : job->second.missing) {
    Part& file = coming_.at(sha);
    file.gateway = gateway;
    file.asked = false;
  }
}

void BlobPuller::tick(Mono now) {
  std::erase_if(whole_, [](const auto& file) { return file.second.expired(); });
  std::vector<std::string> given_up;
  for (auto& [sha, file] : coming_) {
    if (!file.asked || now - file.asked_at < kAskAgain) continue;
    file.asked = false;
    if (file.asks >= kAsks) given_up.push_back(sha);
  }
  for (const std::string& sha : given_up)
    fail_all(sha, {Code::Timeout, "the gateway doesn't send an attachment"});
  ask_next(now);
}

}  // namespace katana::workers
