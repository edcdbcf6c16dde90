// Devices: lists, opens and closes them; their memory and their streams.
#include "csrc/addon/cuda_library.h"
#include "csrc/addon/families.h"
#include "csrc/addon/javascript.h"
#include "csrc/core/thread_pool.h"
#include "csrc/cpu/host/cpu_backend.h"
#include "csrc/cpu/host/isa.h"
#include "csrc/cpu/host/memory_size.h"

namespace foretoken {

namespace {

constexpr int kMaxThreads = 1024;

// setErrorClass(class): makes errors by `new class(code, message)`
napi_value set_error_class(Call& call) {
  const Napi::Value given = call.value();
  if (!given.IsFunction()) call.fail(ErrorCode::kInvalidArgument, "the error class must be a class");
  call.environment().error_class = Napi::Persistent(given.As<Napi::Function>());
  return call.nothing();
}

// cpuInfo(root?): { processor, processors, isaLevels, memory: { all, free } }; tests pass a `root` with their own /proc
// and /sys
napi_value cpu_info(Call& call) {
  const Napi::Object info = Napi::Object::New(call.env());
  set(info, "processor", Napi::String::New(call.env(), cpu::processor_name()));
  set(info, "processors", Napi::Number::New(call.env(), available_processors()));
  const Napi::Array names = Napi::Array::New(call.env());
  for (const cpu::KernelTable* level : cpu::usable_isa_levels()) {
    set(names, names.Length(), Napi::String::New(call.env(), level->isa));
  }
  set(info, "isaLevels", names);
  const cpu::MemorySize size = cpu::memory_size(call.present() ? call.string("root") : "");
  const Napi::Object memory = Napi::Object::New(call.env());
  set(memory, "all", Napi::Number::New(call.env(), static_cast<double>(size.all)));
  set(memory, "free", Napi::Number::New(call.env(), static_cast<double>(size.free)));
  set(info, "memory", memory);
  return info;
}

// The library of the CUDA backend: an argument, or by default the one that is built for GPUs.
CudaLibrary cuda_library(Call& call) {
  return CudaLibrary(call.present() ? call.string("library") : "libforetoken_cuda.so");
}

// cudaInfo(library?): { devices: string[], reason?: string }
napi_value cuda_info(Call& call) {
  const CudaLibrary library = cuda_library(call);
  const Napi::Object info = Napi::Object::New(call.env());
  const Napi::Array names = Napi::Array::New(call.env());
  for (const std::string& name : library.devices()) set(names, names.Length(), Napi::String::New(call.env(), name));
  set(info, "devices", names);
  if (!library.reason().empty()) set(info, "reason", Napi::String::New(call.env(), library.reason()));
  return info;
}

napi_value open_device(Call& call, std::unique_ptr<Backend> backend, int64_t memory_limit, bool poison) {
  Environment& environment = call.environment();
  const int64_t handle = environment.devices.insert(std::make_shared<Device>(std::move(backend), memory_limit, poison));
  return Napi::Number::New(call.env(), static_cast<double>(handle));
}

// An argument of tests: whether memory holds NaN until it is written.
bool poison_argument(Call& call) { return call.given() && call.boolean("poison"); }

// openCpu(isa?, threads?, memoryLimit?, poison?): device
napi_value open_cpu(Call& call) {
  const auto& levels = cpu::usable_isa_levels();
  const cpu::KernelTable* kernels = levels.front();
  if (call.present()) {
    const std::string isa = call.string("isa");
    kernels = nullptr;
    std::string names;
    for (const cpu::KernelTable* level : levels) {
      if (isa == level->isa) kernels = level;
      names += (names.empty() ? "" : ", ") + std::string(level->isa);
    }
    if (kernels == nullptr) {
      call.fail(ErrorCode::kDeviceUnavailable, "isa must be one of %s on this processor, but is %s", names.c_str(),
                isa.c_str());
    }
  }
  const auto threads = call.given() ? call.integer("threads", 1, kMaxThreads) : available_processors();
  const cpu::MemorySize memory = cpu::memory_size();
  const int64_t limit = call.given() ? call.integer("memoryLimit", 0, memory.all) : memory.free - memory.free / 16;
  const bool poison = poison_argument(call);
  return open_device(call, std::make_unique<cpu::CpuBackend>(*kernels, static_cast<int>(threads)), limit, poison);
}

// openCuda(index, library?, options?, memoryLimit?, poison?): device
napi_value open_cuda(Call& call) {
  const int64_t index = call.integer("index", 0, INT32_MAX);
  const CudaLibrary library = cuda_library(call);
  const std::string options = call.present() ? call.string("options") : "";
  int64_t memory = 0;
  std::unique_ptr<Backend> backend = library.open(static_cast<int>(index), options, &memory);
  const int64_t limit = call.given() ? call.integer("memoryLimit", 0, memory) : memory;
  const bool poison = poison_argument(call);
  return open_device(call, std::move(backend), limit, poison);
}

// closeDevice(device): its tensors, captures, caches and states become invalid
napi_value close_device(Call& call) {
  const std::shared_ptr<Device> device = call.device_argument();
  Environment& environment = call.environment();
  environment.captures.erase_if([&](const auto& capture) { return &capture->device() == device.get(); });
  environment.kv_caches.erase_if([&](const auto& cache) { return cache->device() == device; });
  environment.recurrent_states.erase_if([&](const auto& states) { return states->device() == device; });
  environment.tensors.erase_if([&](const Tensor& tensor) { return tensor.storage->device == device; });
  environment.devices.erase_if([&](const auto& open) { return open == device; });
  environment.report_memory();
  return call.nothing();
}

// describeDevice(device): { kind, description, computesIn: dtypes of activations, packs: dtypes of dot formats }
napi_value describe_device(Call& call) {
  const std::shared_ptr<Device> device = call.device_argument();
  const Backend& backend = device->backend();
  const Napi::Object info = Napi::Object::New(call.env());
  set(info, "kind", Napi::String::New(call.env(), backend.kind()));
  set(info, "description", Napi::String::New(call.env(), backend.description()));
  const Napi::Array dtypes = Napi::Array::New(call.env());
  for (const DType dtype : {DType::kFloat32, DType::kBFloat16}) {
    if (backend.computes_in(dtype)) set(dtypes, dtypes.Length(), Napi::String::New(call.env(), name_of(dtype)));
  }
  set(info, "computesIn", dtypes);
  const Napi::Array formats = Napi::Array::New(call.env());
  for (const DType dtype : {DType::kBFloat16, DType::kInt8}) {
    if (packs(backend, dtype)) set(formats, formats.Length(), Napi::String::New(call.env(), name_of(dtype)));
  }
  set(info, "packs", formats);
  return info;
}

// memory(device): { live, peak, reserved } in bytes
napi_value memory(Call& call) {
  const MemoryStatistics statistics = call.device_argument()->allocator().statistics();
  const Napi::Object object = Napi::Object::New(call.env());
  set(object, "live", Napi::Number::New(call.env(), static_cast<double>(statistics.live)));
  set(object, "peak", Napi::Number::New(call.env(), static_cast<double>(statistics.peak)));
  set(object, "reserved", Napi::Number::New(call.env(), static_cast<double>(statistics.reserved)));
  return object;
}

napi_value reset_peak(Call& call) {
  call.device_argument()->allocator().reset_peak();
  return call.nothing();
}

napi_value trim(Call& call) {
  call.device_argument()->allocator().trim();
  return call.nothing();
}

// synchronize(device): resolves when all work enqueued before has finished, rejects with the first error in it
napi_value synchronize(Call& call) {
  const std::shared_ptr<Device> device = call.device_argument();
  call.check_not_capturing(*device);
  return call.environment().promise(
      device->backend(), [](Napi::Env env) { return env.Undefined(); },
      [&](Completion done) { device->backend().synchronize(std::move(done)); });
}

// measure(device): resolves to { flopsPerSecond, matmulFlopsPerSecond, int8FlopsPerSecond, readBytesPerSecond }
napi_value measure(Call& call) {
  const std::shared_ptr<Device> device = call.device_argument();
  call.check_not_capturing(*device);
  const auto rates = std::make_shared<MachineRates>();
  return call.environment().promise(
      device->backend(),
      [rates](Napi::Env env) {
        const Napi::Object object = Napi::Object::New(env);
        set(object, "flopsPerSecond", Napi::Number::New(env, rates->flops_per_second));
        set(object, "matmulFlopsPerSecond", Napi::Number::New(env, rates->matmul_flops_per_second));
        set(object, "int8FlopsPerSecond", Napi::Number::New(env, rates->int8_flops_per_second));
        set(object, "readBytesPerSecond", Napi::Number::New(env, rates->read_bytes_per_second));
        return object;
      },
      [&](Completion done) { device->backend().measure(rates.get(), std::move(done)); });
}

}  // namespace

const Exports kDeviceExports = {
    {"setErrorClass", set_error_class},
    {"cpuInfo", cpu_info},
    {"cudaInfo", cuda_info},
    {"openCpu", open_cpu},
    {"openCuda", open_cuda},
    {"closeDevice", close_device},
    {"describeDevice", describe_device},
    {"memory", memory},
    {"resetPeak", reset_peak},
    {"trim", trim},
    {"synchronize", synchronize},
    {"measure", measure},
};

}  // namespace foretoken
