#include "csrc/simt/options.h"

#include <algorithm>
#include <cstdlib>
#include <string>

#include "csrc/core/error.h"
#include "csrc/simt/sanitizer_callbacks.h"

namespace foretoken::simt {

namespace {

[[noreturn]] void refuse(const std::string& name, const std::string& value, const char* allowed) {
  throw make_error(ErrorCode::kInvalidArgument, "cuda-emulated: %s is \"%s\", but must be %s", name.c_str(),
                   value.c_str(), allowed);
}

uint64_t parse_number(const std::string& name, const std::string& value, uint64_t lowest, uint64_t highest) {
  char* end = nullptr;
  const bool digits = !value.empty() && value.find_first_not_of("0123456789") == std::string::npos;
  const uint64_t number = digits ? std::strtoull(value.c_str(), &end, 10) : 0;
  if (!digits || value.size() > 19 || number < lowest || number > highest) {
    refuse(name, value, ("a whole number, " + std::to_string(lowest) + " … " + std::to_string(highest)).c_str());
  }
  return number;
}

void set(Options& options, const std::string& name, const std::string& value) {
  if (name == "schedule") {
    if (value == "in-order") options.schedule = Schedule::kInOrder;
    else if (value == "reverse") options.schedule = Schedule::kReverse;
    else if (value == "random") options.schedule = Schedule::kRandom;
    else if (value == "starve") options.schedule = Schedule::kStarve;
    else refuse(name, value, "in-order, reverse, random or starve");
  } else if (name == "asyncCopies") {
    if (value == "early") options.async_copies = AsyncCopies::kEarly;
    else if (value == "late") options.async_copies = AsyncCopies::kLate;
    else if (value == "random") options.async_copies = AsyncCopies::kRandom;
    else refuse(name, value, "early, late or random");
  } else if (name == "seed") {
    options.seed = parse_number(name, value, 0, INT64_MAX);
  } else if (name == "races") {
    options.races = parse_number(name, value, 0, 1) == 1;
    if (options.races && !is_checked_build())
      refuse(name, value, "0, because this build of the emulator cannot check accesses");
  } else if (name == "residentBlocks") {
    options.resident_blocks = static_cast<int>(parse_number(name, value, 1, 64));
  } else if (name == "memory") {
    options.memory_bytes = parse_number(name, value, 1, uint64_t{32} << 30);
  } else if (name == "cublas") {
    options.cublas = parse_number(name, value, 0, 1) == 1;
  } else if (name == "refused") {
    options.refused = static_cast<int64_t>(parse_number(name, value, 0, INT64_MAX));
  } else if (name == "driver") {
    options.driver_version = static_cast<int>(parse_number(name, value, 0, 1000000));
  } else if (name == "devices") {
    options.devices = static_cast<int>(parse_number(name, value, 0, 1));
  } else if (name == "computeCapability") {
    options.compute_capability = static_cast<int>(parse_number(name, value, 10, 200));
  } else {
    throw make_error(ErrorCode::kInvalidArgument,
                     "cuda-emulated: there is no option \"%s\"; the options are schedule, asyncCopies, seed, races, "
                     "residentBlocks, memory, cublas, refused, driver, devices and computeCapability",
                     name.c_str());
  }
}

thread_local Options configured_options;

}  // namespace

Options::Options() : races(is_checked_build()) {}

Options parse_options(const char* text) {
  Options options;
  const std::string all = text ? text : "";
  for (size_t begin = 0; (begin = all.find_first_not_of(' ', begin)) != std::string::npos;) {
    const size_t end = std::min(all.find(' ', begin), all.size());
    const std::string item = all.substr(begin, end - begin);
    const size_t equals = item.find('=');
    if (equals == std::string::npos) {
      throw make_error(ErrorCode::kInvalidArgument, "cuda-emulated: \"%s\" is not name=value", item.c_str());
    }
    set(options, item.substr(0, equals), item.substr(equals + 1));
    begin = end;
  }
  return options;
}

void configure(const Options& options) { configured_options = options; }
const Options& configured() { return configured_options; }

}  // namespace foretoken::simt
