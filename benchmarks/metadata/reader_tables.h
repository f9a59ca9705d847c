// FlatBuffers as it is usually written (tables.fbs).
#include "checks.h"
#include "tables_generated.h"

namespace wherry::bench {

class TablesView {
 public:
  using Ints = Span<const int64_t>;
  using Indexes = Span<const uint32_t>;

  TablesView() = default;
  explicit TablesView(const tables::Pack* pack) : pack_(pack) {}

  uint64_t tensors() const { return pack_->tensors()->size(); }
  uint64_t steps() const { return pack_->steps()->size(); }
  uint64_t kernels() const { return pack_->kernels()->size(); }
  uint64_t partitions() const { return pack_->partitions()->size(); }
  uint64_t segments() const { return pack_->segments()->size(); }
  uint64_t inputs() const { return pack_->inputs()->size(); }
  uint64_t outputs() const { return pack_->outputs()->size(); }
  uint64_t arena_bytes() const { return pack_->arena_bytes(); }

  bool Tensor(uint64_t i, TensorView<Ints>* to) const {
    const tables::Tensor& t = *TensorAt(i);
    to->name = Text(t.name());
    to->dtype = t.dtype();
    to->place = t.place();
    to->layout = t.layout();
    to->dims = List(t.dims());
    to->owner = t.owner();
    to->offset = t.offset();
    to->bytes = t.bytes();
    const tables::Quant* q = t.quant();
    to->quantized = q != nullptr;
    if (q != nullptr) to->quant = {q->format(), q->bits(), q->axis(), q->channels(), q->scale(), q->offset()};
    return true;
  }
  bool Step(uint64_t i, StepView<Indexes>* to) const {
    const tables::Step& s = *pack_->steps()->Get(static_cast<uint32_t>(i));
    to->name = Text(s.name());
    to->kernel = s.kernel();
    to->inputs = List(s.inputs());
    to->outputs = List(s.outputs());
    to->attributes = s.attributes() == nullptr ? 0 : s.attributes()->size();
    return true;
  }
  bool Attribute(uint64_t step, uint64_t k, AttributeView<Ints>* to) const {
    const tables::Attribute& a =
        *pack_->steps()->Get(static_cast<uint32_t>(step))->attributes()->Get(static_cast<uint32_t>(k));
    to->name = Text(a.name());
    to->kind = a.kind();
    to->value = a.value();
    to->text = a.text() == nullptr ? StringView() : Text(a.text());
    to->ints = a.ints() == nullptr ? Ints() : List(a.ints());
    return true;
  }
  bool Kernel(uint64_t i, StringView* to) const {
    *to = Text(pack_->kernels()->Get(static_cast<uint32_t>(i)));
    return true;
  }
  bool Partition(uint64_t i, PartitionView<Indexes>* to) const {
    const tables::Partition& p = *pack_->partitions()->Get(static_cast<uint32_t>(i));
    *to = {p.first_step(), p.num_steps(), List(p.segments())};
    return true;
  }
  SegmentView Segment(uint64_t i) const {
    const tables::Segment& s = *pack_->segments()->Get(static_cast<uint32_t>(i));
    return {s.offset(), s.bytes(), s.hash(), s.flags()};
  }
  bool Input(uint64_t i, SignatureView* to) const { return Signature(pack_->inputs(), i, to); }
  bool Output(uint64_t i, SignatureView* to) const { return Signature(pack_->outputs(), i, to); }
  format::Place PlaceOf(uint32_t tensor) const { return static_cast<format::Place>(TensorAt(tensor)->place()); }
  uint32_t OwnerOf(uint32_t tensor) const { return TensorAt(tensor)->owner(); }

 private:
  const tables::Tensor* TensorAt(uint64_t i) const { return pack_->tensors()->Get(static_cast<uint32_t>(i)); }
  static StringView Text(const flatbuffers::String* text) { return {text->c_str(), text->size()}; }
  template <typename T>
  static Span<const T> List(const flatbuffers::Vector<T>* values) {
    return {values->data(), values->size()};
  }
  static bool Signature(const flatbuffers::Vector<flatbuffers::Offset<tables::Signature>>* of, uint64_t i,
                        SignatureView* to) {
    const tables::Signature& s = *of->Get(static_cast<uint32_t>(i));
    *to = {Text(s.name()), s.tensor()};
    return true;
  }

  const tables::Pack* pack_ = nullptr;
};

class Reader {
 public:
  Status Open(const platform::File& file, ErrorSink& errors) {
    WHERRY_RETURN_IF_ERROR(ReadContainer(file, errors, &metadata_));
    const auto* bytes = reinterpret_cast<const uint8_t*>(metadata_.data());
    if (metadata_.size() >= FLATBUFFERS_MAX_BUFFER_SIZE) return Corrupt(errors, "its metadata is too large");
    flatbuffers::Verifier verifier(bytes, metadata_.size());
    if (!tables::VerifyPackBuffer(verifier)) return Corrupt(errors, "its metadata makes no sense");
    view_ = TablesView(tables::GetPack(bytes));
    return Check(view_, file.size(), errors);
  }
  uint64_t Walk() const { return bench::Walk(view_); }

 private:
  Array<std::byte> metadata_;
  TablesView view_;
};

}  // namespace wherry::bench
