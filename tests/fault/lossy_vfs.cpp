#include "tests/fault/lossy_vfs.hpp"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <vector>

#include <sqlite3.h>

namespace katana::fault {
namespace {

constexpr std::size_t kSector = 512;

/// A write, or with no bytes a truncation to `at`, that was not forced yet.
struct Change {
  std::size_t at = 0;
  std::string bytes;
  bool truncates = false;
};

struct Shadow {
  std::string forced;
  bool entry_forced = false;  ///< its name is in the directory for good
  bool deleted = false;       ///< its name may still be in the directory
  std::string before;         ///< what its name may still mean, until it is forced: a file that was deleted
  std::vector<Change> pending;
  std::uint64_t syncs = 0;
};

void put(std::string& content, std::size_t at, std::string_view bytes) {
  if (content.size() < at + bytes.size()) content.resize(at + bytes.size(), '\0');
  content.replace(at, bytes.size(), bytes);
}

void apply(std::string& content, const Change& change) {
  if (change.truncates) {
    content.resize(change.at, '\0');
  } else {
    put(content, change.at, change.bytes);
  }
}

/// Each sector of the change reached the disk, or didn't.
void apply_some(std::string& content, const Change& change, double chance, std::mt19937_64& random) {
  std::bernoulli_distribution reached(chance);
  if (change.truncates) {
    if (reached(random)) content.resize(change.at, '\0');
    return;
  }
  std::size_t from = 0;
  while (from < change.bytes.size()) {
    const std::size_t at = change.at + from;
    const std::size_t length = std::min(change.bytes.size() - from, kSector - at % kSector);
    if (reached(random)) put(content, at, std::string_view(change.bytes).substr(from, length));
    from += length;
  }
}

}  // namespace

struct LossyDisk::State {
  std::function<void()> on_write;
  sqlite3_vfs* real = nullptr;
  sqlite3_vfs vfs{};
  mutable std::mutex lock;
  std::map<std::string, Shadow> files;  // by path

  void write(const std::string& path, Change change) {
    {
      const std::lock_guard guard(lock);
      files[path].pending.push_back(std::move(change));
    }
    on_write();
  }
  void sync(const std::string& path) {
    {
      const std::lock_guard guard(lock);
      Shadow& file = files[path];
      file.entry_forced = true;
      file.before.clear();
      if (!file.pending.empty()) ++file.syncs;
      for (const Change& change : file.pending)
        apply(file.forced, change);
      file.pending.clear();
      // A file system with a journal keeps the order of its names: what was deleted before is gone for good.
      std::erase_if(files, [](const auto& known) { return known.second.deleted; });
    }
    on_write();
  }
};

namespace {

/// SQLite's file object; the real one stands behind it in the same memory.
struct File {
  sqlite3_file base;
  std::string* path;
  sqlite3_file* real() { return reinterpret_cast<sqlite3_file*>(this + 1); }
};

// The one disk: SQLite's callbacks on files know no context of ours.
LossyDisk::State* disk = nullptr;

File& of(sqlite3_file* file) {
  return *reinterpret_cast<File*>(file);
}

sqlite3_io_methods make_methods() {
  sqlite3_io_methods m{};
  m.iVersion = 1;  // no shared memory: the product keeps its database to itself
  m.xClose = [](sqlite3_file* f) {
    const int code = of(f).real()->pMethods->xClose(of(f).real());
    delete of(f).path;
    return code;
  };
  m.xRead = [](sqlite3_file* f, void* into, int n, sqlite3_int64 at) {
    return of(f).real()->pMethods->xRead(of(f).real(), into, n, at);
  };
  m.xWrite = [](sqlite3_file* f, const void* from, int n, sqlite3_int64 at) {
    const int code = of(f).real()->pMethods->xWrite(of(f).real(), from, n, at);
    disk->write(*of(f).path,
                {static_cast<std::size_t>(at),
                 std::string(static_cast<const char*>(from), static_cast<std::size_t>(n)), false});
    return code;
  };
  m.xTruncate = [](sqlite3_file* f, sqlite3_int64 size) {
    const int code = of(f).real()->pMethods->xTruncate(of(f).real(), size);
    disk->write(*of(f).path, {static_cast<std::size_t>(size), {}, true});
    return code;
  };
  m.xSync = [](sqlite3_file* f, int) {
    disk->sync(*of(f).path);
    return SQLITE_OK;
  };
  m.xFileSize = [](sqlite3_file* f, sqlite3_int64* size) {
    return of(f).real()->pMethods->xFileSize(of(f).real(), size);
  };
  m.xLock = [](sqlite3_file* f, int level) { return of(f).real()->pMethods->xLock(of(f).real(), level); };
  m.xUnlock = [](sqlite3_file* f, int level) { return of(f).real()->pMethods->xUnlock(of(f).real(), level); };
  m.xCheckReservedLock = [](sqlite3_file* f, int* held) {
    return of(f).real()->pMethods->xCheckReservedLock(of(f).real(), held);
  };
  m.xFileControl = [](sqlite3_file* f, int op, void* arg) {
    return of(f).real()->pMethods->xFileControl(of(f).real(), op, arg);
  };
  m.xSectorSize = [](sqlite3_file*) { return static_cast<int>(kSector); };
  m.xDeviceCharacteristics = [](sqlite3_file* f) {
    return of(f).real()->pMethods->xDeviceCharacteristics(of(f).real());
  };
  return m;
}

/// A file that was there before this disk was made: all of it is forced.
Shadow on_disk(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  Shadow file;
  file.forced.assign(std::istreambuf_iterator<char>(in), {});
  file.entry_forced = !file.forced.empty();
  return file;
}

int open_file(sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* out_flags) {
  static const sqlite3_io_methods methods = make_methods();
  File& f = of(file);
  f.base.pMethods = nullptr;
  const int code = disk->real->xOpen(disk->real, name, f.real(), flags, out_flags);
  if (code != SQLITE_OK) return code;
  f.base.pMethods = &methods;
  f.path = new std::string(name == nullptr ? "" : name);
  const std::lock_guard guard(disk->lock);
  const auto [known, added] = disk->files.try_emplace(*f.path);
  if (known->second.deleted) known->second = {.before = std::move(known->second.forced)};
  if (added && name != nullptr) known->second = on_disk(*f.path);
  return SQLITE_OK;
}

int delete_file(sqlite3_vfs*, const char* name, int sync_directory) {
  const int code = disk->real->xDelete(disk->real, name, sync_directory);
  const std::lock_guard guard(disk->lock);
  if (sync_directory != 0) {
    disk->files.erase(name);
  } else if (const auto known = disk->files.find(name); known != disk->files.end()) {
    known->second.deleted = true;
  }
  return code;
}

}  // namespace

LossyDisk::LossyDisk(std::function<void()> on_write) : state_(std::make_unique<State>()) {
  if (disk != nullptr) throw std::logic_error("there is a lossy disk already");
  state_->on_write = std::move(on_write);
  state_->real = sqlite3_vfs_find("unix");
  state_->vfs = *state_->real;
  state_->vfs.zName = "lossy";
  state_->vfs.szOsFile = static_cast<int>(sizeof(File)) + state_->real->szOsFile;
  state_->vfs.pNext = nullptr;
  state_->vfs.xOpen = open_file;
  state_->vfs.xDelete = delete_file;
  disk = state_.get();
  sqlite3_vfs_register(&state_->vfs, 1);
}

LossyDisk::~LossyDisk() {
  sqlite3_vfs_unregister(&state_->vfs);
  sqlite3_vfs_register(state_->real, 1);
  disk = nullptr;
}

LossyDisk::Files LossyDisk::image(std::mt19937_64& random) {
  const std::lock_guard guard(state_->lock);
  Files found;
  // Nothing of what wasn't forced, all of it, or any part.
  const double chance = std::vector{0.0, 0.1, 0.5, 0.9, 1.0}[random() % 5];
  for (const auto& [path, file] : state_->files) {
    if (path.empty()) continue;
    if ((!file.entry_forced || file.deleted) && random() % 2 == 0) {
      if (!file.before.empty() && random() % 2 == 0)
        found[std::filesystem::path(path).filename().string()] = file.before;
      continue;
    }
    std::string content = file.forced;
    for (const Change& change : file.pending)
      apply_some(content, change, chance, random);
    found[std::filesystem::path(path).filename().string()] = std::move(content);
  }
  return found;
}

std::uint64_t LossyDisk::syncs(const std::string& name) const {
  const std::lock_guard guard(state_->lock);
  std::uint64_t sum = 0;
  for (const auto& [path, file] : state_->files) {
    if (std::filesystem::path(path).filename() == name) sum += file.syncs;
  }
  return sum;
}

}  // namespace katana::fault
