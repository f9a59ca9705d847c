// The .wherry file, byte by byte. docs/pack-format.md says the same in prose; python/wherry/pack/format.py writes it.
//
// All numbers are little-endian. A 64-byte header is followed by the metadata (a table of sections, each an array of
// fixed-size records) and by the segments (weights in the order in which they are run, the first at a multiple of 16 KiB).
// A section says how large its records are: a newer minor version may append fields, which this reader steps over,
// and may add sections, which it ignores.
#ifndef WHERRY_RUNTIME_PACK_FORMAT_H_
#define WHERRY_RUNTIME_PACK_FORMAT_H_

#include <cstdint>

namespace wherry::format {

inline constexpr char kMagic[8] = {'\x89', 'W', 'H', 'E', 'R', 'R', 'Y', '\n'};
inline constexpr uint16_t kMajor = 1;
inline constexpr uint16_t kMinor = 0;
inline constexpr uint64_t kSegmentAlignment = 64;
inline constexpr uint64_t kTensorAlignment = 64;
inline constexpr uint32_t kNone = 0xFFFFFFFFU;
inline constexpr uint64_t kNone64 = ~uint64_t{0};

struct Header {
  char magic[8];
  uint16_t major, minor;
  uint32_t header_bytes;     // 64
  uint64_t file_bytes;       // of the whole pack
  uint64_t metadata_offset;  // from the start of the file
  uint64_t metadata_bytes;
  uint64_t metadata_hash;    // XXH64, seed 0
  uint64_t reserved;
  uint64_t header_hash;      // XXH64 of the 56 bytes before
};
static_assert(sizeof(Header) == 64);

enum class SectionKind : uint32_t {
  kStrings = 1,     // bytes; strings are named by offset and size
  kInts = 2,        // int64
  kIndexes = 3,     // uint32
  kTensors = 4,     // TensorRecord
  kQuants = 5,      // QuantRecord
  kAttributes = 6,  // AttributeRecord
  kSteps = 7,       // StepRecord, in execution order
  kKernels = 8,     // StringRecord: keys
  kPartitions = 9,  // PartitionRecord, in execution order
  kSegments = 10,   // SegmentRecord
  kInputs = 11,     // SignatureRecord
  kOutputs = 12,    // SignatureRecord
  kPlan = 13,       // PlanRecord, exactly one
  kProvenance = 14, // JSON, for people and tools; the runtime does not read it
};
inline constexpr uint32_t kLastSection = 14;

struct MetadataHeader {
  uint32_t section_count;
  uint32_t reserved;
};

struct Section {
  uint32_t kind;
  uint32_t stride;  // bytes of one record
  uint64_t offset;  // from the start of the metadata, a multiple of 8
  uint64_t count;   // records
};
static_assert(sizeof(Section) == 24);

struct StringRecord {
  uint32_t offset, size;
};

// Where a tensor's bytes are.
enum class Place : uint8_t {
  kNowhere = 0,   // an output that no other step reads
  kSegment = 1,   // `owner` is a segment; `offset` counts from its start
  kArena = 2,     // `offset` counts from the arena's start; `owner` is 1 + the tensor of whose rows (the last dimension)
                  // this one is some columns, or 0 where its rows lie one behind the other
  kExternal = 3,  // `owner` is an input of the signature; `offset` is 0
};

struct TensorRecord {
  StringRecord name;
  uint8_t dtype, rank, place, layout;
  uint32_t dims;   // first index in kInts
  uint32_t owner;
  uint32_t quant;  // index in kQuants, or kNone
  uint64_t offset;
  uint64_t bytes;  // from the first element to the last
};
static_assert(sizeof(TensorRecord) == 40);

struct QuantRecord {
  uint8_t format, bits, axis, reserved;
  uint32_t split;  // int8 in quads: behind the sums of columns are those of their first `split` rows; 0: only of columns
  uint64_t channels;
  uint64_t scale;   // float32 array in the tensor's segment, from its start; kNone64 where there is none
  uint64_t offset;  // likewise
};
static_assert(sizeof(QuantRecord) == 32);

struct AttributeRecord {
  StringRecord name;
  uint8_t kind, reserved[3];
  uint32_t size;   // strings: bytes; lists: values
  uint64_t value;  // ints: two's complement; floats: the bits of a double; strings and lists: first index
};
static_assert(sizeof(AttributeRecord) == 24);

struct StepRecord {
  StringRecord name;
  uint32_t kernel;               // index in kKernels
  uint32_t inputs, num_inputs;   // tensor numbers in kIndexes; kNone is kept for absent ones
  uint32_t outputs, num_outputs;
  uint32_t attributes, num_attributes;
  uint32_t kilo_macs;            // thousands of multiply-accumulates, as far as 32 bits go
};
static_assert(sizeof(StepRecord) == 40);

// Attribute of a step that computes some columns of its output, from this one on: as many as its weight has. What the
// output's other columns hold stays.
inline constexpr char kFirstColumn[] = "first_column";

struct PartitionRecord {
  uint32_t first_step, num_steps;
  uint32_t segments, num_segments;  // segment numbers in kIndexes in the order of use, resident ones not among them
};
static_assert(sizeof(PartitionRecord) == 16);

inline constexpr uint32_t kSegmentResident = 1;  // mapped while the pack is open: small constants

struct SegmentRecord {
  uint64_t offset;  // from the start of the file, a multiple of kSegmentAlignment
  uint64_t bytes;
  uint64_t hash;    // XXH64, seed 0
  uint32_t flags;
  uint32_t reserved;
};
static_assert(sizeof(SegmentRecord) == 32);

struct SignatureRecord {
  StringRecord name;
  uint32_t tensor;
  uint32_t reserved;
};
static_assert(sizeof(SignatureRecord) == 16);

struct PlanRecord {
  uint64_t arena_bytes;
  uint64_t memory_budget;  // that the pack was planned for; 0 where none was given
};
static_assert(sizeof(PlanRecord) == 16);

}  // namespace wherry::format

#endif  // WHERRY_RUNTIME_PACK_FORMAT_H_
