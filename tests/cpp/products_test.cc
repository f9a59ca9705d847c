// Products of float32, of 28 bits, of halves and of 8-bit codes on every instruction set that this CPU has, against the loops that define them.
// Operands end where a page ends that must not be touched. tests/build/test_cross.py runs it under emulators.
#include <sys/mman.h>
#include <unistd.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>

#include "math/float28.h"
#include "math/gemm.h"
#include "math/half.h"
#include "math/hgemm.h"
#include "math/hgemm_multiply.h"
#include "math/isa.h"
#include "math/qgemm_multiply.h"

namespace {

using wherry::Isa;
namespace math = wherry::math;

uint32_t g_random = 1;
uint32_t Random() { return g_random = g_random * 1664525U + 1013904223U; }

// Memory whose last byte is the last of a page, with a page behind it that cannot be read.
class Guarded {
 public:
  explicit Guarded(size_t bytes) {
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    size_ = (bytes + page - 1) / page * page + page;
    base_ = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base_ == MAP_FAILED || mprotect(static_cast<char*>(base_) + size_ - page, page, PROT_NONE) != 0) abort();
    data_ = static_cast<char*>(base_) + size_ - page - bytes;
  }
  ~Guarded() { munmap(base_, size_); }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;
  template <typename T>
  T* as() const {
    return static_cast<T*>(static_cast<void*>(data_));
  }

 private:
  void* base_;
  char* data_;
  size_t size_;
};

[[noreturn]] void Fail(const char* what, Isa isa, int64_t m, int64_t k, int64_t n) {
  std::printf("%s on %s: %lld x %lld x %lld is wrong\n", what, wherry::IsaName(isa), static_cast<long long>(m),
              static_cast<long long>(k), static_cast<long long>(n));
  std::exit(1);
}

void CheckCodes(Isa isa, int64_t rows, int64_t groups, int64_t panels) {
  const math::CodeMultiplier multiplier = math::CodeMultiplierFor(isa, rows);
  const int64_t depth = groups * math::kQuad;
  const int64_t stride = (depth + math::kCodeRowBytes - 1) / math::kCodeRowBytes * math::kCodeRowBytes;
  const int64_t held = (rows + multiplier.row_unit - 1) / multiplier.row_unit * multiplier.row_unit;
  const int64_t columns = panels * math::kCodeColumns;
  const Guarded a(static_cast<size_t>(held * stride));
  const Guarded b(static_cast<size_t>(depth * columns));
  alignas(64) static int32_t sums[math::kCodeBlockRows * math::kCodeFewRowsPanels * math::kCodeColumns];
  for (int64_t r = 0; r < held; ++r) {
    for (int64_t k = 0; k < stride; ++k) {
      const uint32_t code = Random() >> 24U;
      a.as<uint8_t>()[r * stride + k] = static_cast<uint8_t>(k >= depth ? 0 : code < 8 ? 255 : code);
    }
  }
  for (int64_t i = 0; i < depth * columns; ++i) b.as<int8_t>()[i] = static_cast<int8_t>(Random() % 255) - 127;
  math::CodeBlock block;
  block.a = a.as<uint8_t>();
  block.a_stride = stride;
  block.rows = rows;
  block.b = b.as<int8_t>();
  block.panel_stride = groups * math::kQuadBytes;
  block.panels = panels;
  block.groups = groups;
  block.sums = sums;
  if (multiplier.begin != nullptr) multiplier.begin();
  multiplier.multiply(block);
  if (multiplier.end != nullptr) multiplier.end();
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      int32_t sum = 0;
      for (int64_t k = 0; k < depth; ++k) {
        const int64_t at = c / 16 * block.panel_stride + k / 4 * math::kQuadBytes + c % 16 * 4 + k % 4;
        sum += block.a[r * stride + k] * block.b[at];
      }
      if (sums[r * columns + c] != sum) Fail("codes", isa, rows, depth, columns);
    }
  }
}

void CheckFloats(Isa isa, int64_t m, int64_t k, int64_t n) {
  const int64_t panels = (n + math::kPanelColumns - 1) / math::kPanelColumns;
  const Guarded a(sizeof(float) * static_cast<size_t>(m * k));
  const Guarded b(sizeof(float) * static_cast<size_t>(panels * k * math::kPanelColumns));
  const Guarded bias(sizeof(float) * static_cast<size_t>(n));
  const Guarded c(sizeof(float) * static_cast<size_t>(m * n));
  const auto fill = [](float* to, int64_t count) {
    for (int64_t i = 0; i < count; ++i) to[i] = static_cast<float>(static_cast<int32_t>(Random())) * 0x1p-31F;
  };
  fill(a.as<float>(), m * k);
  fill(b.as<float>(), panels * k * math::kPanelColumns);
  fill(bias.as<float>(), n);
  // Every other product is added to what C holds, and goes through B backwards.
  const bool adds = m % 2 == 0;
  const Guarded start(sizeof(float) * static_cast<size_t>(m * n));
  fill(start.as<float>(), m * n);
  std::memcpy(c.as<float>(), start.as<float>(), sizeof(float) * static_cast<size_t>(m * n));
  math::GemmPlan plan = math::PlanGemm(m, k, 0, n, false, isa, 1, adds);
  plan.falling = adds;
  const Guarded scratch((plan.scratch_bytes + 63) / 64 * 64);
  math::PanelMatrix matrix;
  matrix.data = b.as<float>();
  matrix.k = k;
  matrix.n = n;
  math::Epilogue epilogue;
  epilogue.bias = bias.as<float>();
  if (adds) epilogue.residual = c.as<float>();
  for (int64_t task = 0; task < plan.tasks(); ++task) {
    math::RunGemmTask(plan, math::RowSource::Matrix(a.as<float>(), k), matrix, epilogue, c.as<float>(), n, task,
                      scratch.as<std::byte>());
  }
  for (int64_t r = 0; r < m; ++r) {
    for (int64_t j = 0; j < n; ++j) {
      float sum = 0.0F;
      for (int64_t i = 0; i < k; ++i) {
        const float right = b.as<float>()[(j / 16 * k + i) * 16 + j % 16];
        sum = std::fma(a.as<float>()[r * k + i], right, sum);
      }
      sum += bias.as<float>()[j];
      if (adds) sum += start.as<float>()[r * n + j];
      const float found = c.as<float>()[r * n + j];
#if defined(__ARM_FEATURE_FMA)
      const bool fused = true;
#else  // without fused multiply-adds every product is rounded
      const bool fused = isa != Isa::kPortable;
#endif
      const bool good = fused ? found == sum : std::abs(found - sum) <= 1e-6F * (1.0F + static_cast<float>(k));
      if (!good) Fail("float32", isa, m, k, n);
    }
  }
}

// One rounding to a half: what is cut off on the way is kept in the last bit ("round to odd").
uint16_t HalfOf(double value) {
  const float nearest = static_cast<float>(value);
  uint32_t bits = std::bit_cast<uint32_t>(nearest);
  if (static_cast<double>(nearest) != value) {
    if (std::abs(static_cast<double>(nearest)) > std::abs(value)) --bits;
    bits |= 1U;
  }
  return math::FloatToHalf(std::bit_cast<float>(bits));
}

// A group of 8 rows of 16 weights in 7 vectors, as wherry/pack/float28.py makes them.
void EncodeGroup(const uint32_t* rows, uint32_t* to) {
  for (int c = 0; c < 16; ++c) {
    const uint32_t last = std::rotl(rows[7 * 16 + c], 4);
    for (int r = 0; r < 7; ++r) to[r * 16 + c] = (rows[r * 16 + c] & 0x87FFFFFFU) | (last >> (27 - 4 * r) & 15U) << 27U;
  }
}

// Weights of 28 bits, of which some groups have none, against the same in panels of float32.
void CheckFloat28(Isa isa, int64_t units) {
  const int64_t groups = units / math::kFloat28Rows;
  const int64_t panels = units / math::kPanelColumns;
  const Guarded h(sizeof(float) * static_cast<size_t>(units));
  const Guarded floats(sizeof(float) * static_cast<size_t>(units * units * math::kFloat28Gates));
  const Guarded plain(static_cast<size_t>(panels * groups));
  uint32_t* const words = floats.as<uint32_t>();
  for (int64_t i = 0; i < units; ++i) h.as<float>()[i] = static_cast<float>(static_cast<int32_t>(Random())) * 0x1p-31F;
  for (int64_t i = 0; i < units * units * math::kFloat28Gates; ++i) words[i] = (Random() & 0x87FFFFFFU) | 7U << 27U;
  for (int64_t i = 0; i < panels * groups; ++i) plain.as<uint8_t>()[i] = Random() >> 30U != 0 ? 8 : Random() >> 28U & 15U;
  int64_t starts[64];
  math::Float28Matrix weights{units, 7U << 27U, plain.as<uint8_t>(), nullptr, starts};
  const Guarded coded(static_cast<size_t>(math::FindFloat28Panels(weights, starts)));
  weights.groups = coded.as<std::byte>();
  for (int64_t panel = 0; panel < panels; ++panel) {
    for (int gate = 0; gate < math::kFloat28Gates; ++gate) {
      uint32_t* to = coded.as<uint32_t>() + starts[panel * math::kFloat28Gates + gate] / 4;
      for (int64_t group = 0; group < groups; ++group) {
        uint32_t* const rows = words + ((gate * panels + panel) * units + group * math::kFloat28Rows) * math::kPanelColumns;
        if ((plain.as<uint8_t>()[panel * groups + group] >> gate & 1) != 0) {
          rows[Random() % 128] = 0;
          std::memcpy(to, rows, 8 * 64);
          to += 8 * 16;
        } else {
          EncodeGroup(rows, to);
          to += 7 * 16;
        }
      }
    }
  }
  math::PanelMatrix matrix;
  matrix.data = floats.as<float>();
  matrix.k = units;
  matrix.n = math::kFloat28Gates * units;
  for (int64_t panel = 0; panel < panels; ++panel) {
    alignas(64) float sums[2][math::kFloat28Gates * math::kPanelColumns] = {};
    math::AddFloat28Row(h.as<float>(), weights, panel, sums[0], isa);
    math::AddRowProduct(h.as<float>(), units, matrix, {panel, panels, math::kFloat28Gates}, sums[1], isa, nullptr);
    if (std::memcmp(sums[0], sums[1], sizeof(sums[0])) != 0) Fail("weights of 28 bits", isa, 1, units, matrix.n);
  }
}

void CheckHalves(Isa isa, int64_t m, int64_t k, int64_t n) {
  const float limit = 1.5F;
  const int64_t panels = (n + math::kPanelColumns - 1) / math::kPanelColumns;
  const Guarded a(sizeof(float) * static_cast<size_t>(m * k));
  const Guarded b(sizeof(uint16_t) * static_cast<size_t>(panels * k * math::kPanelColumns));
  const Guarded bias(sizeof(float) * static_cast<size_t>(n));
  const Guarded c(sizeof(float) * static_cast<size_t>(m * n));
  const auto random = [] { return static_cast<float>(static_cast<int32_t>(Random())) * 0x1p-30F; };
  for (int64_t i = 0; i < m * k; ++i) a.as<float>()[i] = random();
  for (int64_t i = 0; i < panels * k * math::kPanelColumns; ++i) b.as<uint16_t>()[i] = math::FloatToHalf(random());
  for (int64_t i = 0; i < n; ++i) bias.as<float>()[i] = random();
  const math::GemmPlan plan = math::PlanHalfGemm(m, k, n, isa, 3);
  void* scratch = nullptr;
  if (posix_memalign(&scratch, 64, plan.scratch_bytes) != 0) abort();
  math::PanelMatrix matrix;
  matrix.data = b.as<uint16_t>();
  matrix.k = k;
  matrix.n = n;
  math::Epilogue epilogue;
  epilogue.bias = bias.as<float>();
  for (int64_t task = 0; task < plan.tasks(); ++task) {
    math::RunHalfGemmTask(plan, math::RowSource::Matrix(a.as<float>(), k), limit, matrix, epilogue, c.as<float>(), n, task,
                          static_cast<std::byte*>(scratch));
  }
  std::free(scratch);
  for (int64_t r = 0; r < m; ++r) {
    for (int64_t j = 0; j < n; ++j) {
      float sum = 0.0F;
      uint16_t chain = 0;
      for (int64_t i = 0; i < k; ++i) {
        const float row = std::fmin(limit, std::fmax(-limit, a.as<float>()[r * k + i]));
        const double left = static_cast<double>(math::HalfToFloat(math::FloatToHalf(row)));
        const double right = static_cast<double>(math::HalfToFloat(b.as<uint16_t>()[(j / 16 * k + i) * 16 + j % 16]));
        chain = HalfOf(left * right + static_cast<double>(math::HalfToFloat(chain)));
        if (i % math::kHalfFold == math::kHalfFold - 1 || i == k - 1) {
          sum += math::HalfToFloat(chain);
          chain = 0;
        }
      }
      if (c.as<float>()[r * n + j] != sum + bias.as<float>()[j]) Fail("halves", isa, m, k, n);
    }
  }
}

}  // namespace

int main() {
  for (int level = 0; level < wherry::kIsas; ++level) {
    const Isa isa = static_cast<Isa>(level);
    if (!wherry::HasIsa(isa)) continue;
    int count = 0;
    for (const int64_t rows : {1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 17, 35, 64, 113}) {
      for (const int64_t groups : {1, 2, 3, 4, 5, 15, 16, 63, 64, 65, 130, 193, 199}) {
        for (const int64_t panels : {1, 2, 3, 4, 8}) {
          if (panels > (rows <= math::kCodeFewRows ? math::kCodeFewRowsPanels : math::kCodeBlockPanels)) continue;
          CheckCodes(isa, rows, groups, panels);
          ++count;
        }
      }
    }
    for (const int64_t m : {1, 2, 3, 4, 5, 6, 7, 9, 13, 31, 64}) {
      for (const int64_t k : {1, 2, 3, 4, 5, 7, 8, 63, 256, 257, 261, 515}) {
        for (const int64_t n : {1, 15, 16, 17, 33, 80, 97, 144, 160}) {
          CheckFloats(isa, m, k, n);
          ++count;
          if (!math::MultipliesHalves(isa)) continue;
          CheckHalves(isa, m, k, n);
          ++count;
        }
      }
    }
    for (const int64_t units : {16, 32, 80, 256}) {
      CheckFloat28(isa, units);
      ++count;
    }
    std::printf("%s: %d products\n", wherry::IsaName(isa), count);
  }
  return 0;
}
