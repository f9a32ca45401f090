#pragma once

#include <span>

#include "common/db/migration.hpp"

namespace katana::gateway {

/// Every step of the store's schema since the first. A step that was released is never changed.
std::span<const db::Migration> schema();

}  // namespace katana::gateway
