// BlockLSTMV2: an LSTM over a sequence, gates in the order i, f, ci, o of Keras.
#include "kernels/rnn/lstm.h"
#include "kernels/rnn/lstm_float28.h"

namespace wherry::kernels {
namespace {

[[maybe_unused]] constexpr LstmOp kBlockLstmV2{true, {0, 2, 1, 3}, 0.0F, 0.0F};

}  // namespace

#if WHERRY_SELECTED(BlockLSTMV2_f32_di8)
WHERRY_PREPARE(BlockLSTMV2_f32_di8) { return PrepareLstm<CodeProducts>(context, kBlockLstmV2, WeightFormat::kInt8); }
WHERRY_RUN(BlockLSTMV2_f32_di8) { return RunLstm<CodeProducts>(context, kBlockLstmV2, nullptr); }
#endif

#if WHERRY_SELECTED(BlockLSTMV2_f32_wf16)
WHERRY_PREPARE(BlockLSTMV2_f32_wf16) { return PrepareLstm<FloatProducts>(context, kBlockLstmV2, WeightFormat::kFloat16); }
WHERRY_RUN(BlockLSTMV2_f32_wf16) { return RunLstm<FloatProducts>(context, kBlockLstmV2, math::Float16Panels(context.isa())); }
#endif

#if WHERRY_SELECTED(BlockLSTMV2_f32_wf28)
WHERRY_PREPARE(BlockLSTMV2_f32_wf28) { return PrepareLstm<Float28Products>(context, kBlockLstmV2, WeightFormat::kFloat28); }
WHERRY_RUN(BlockLSTMV2_f32_wf28) { return RunFloat28Lstm(context, kBlockLstmV2); }
#endif

#if WHERRY_SELECTED(BlockLSTMV2_f32_wf32)
WHERRY_PREPARE(BlockLSTMV2_f32_wf32) { return PrepareLstm<FloatProducts>(context, kBlockLstmV2, WeightFormat::kPlain); }
WHERRY_RUN(BlockLSTMV2_f32_wf32) { return RunLstm<FloatProducts>(context, kBlockLstmV2, nullptr); }
#endif

#if WHERRY_SELECTED(BlockLSTMV2_f32_wi8)
WHERRY_PREPARE(BlockLSTMV2_f32_wi8) { return PrepareLstm<FloatProducts>(context, kBlockLstmV2, WeightFormat::kInt8); }
WHERRY_RUN(BlockLSTMV2_f32_wi8) { return RunLstm<FloatProducts>(context, kBlockLstmV2, math::Int8Panels(context.isa())); }
#endif

#if WHERRY_SELECTED(BlockLSTMV2_f32_wmm)
WHERRY_PREPARE(BlockLSTMV2_f32_wmm) { return PrepareLstm<FloatProducts>(context, kBlockLstmV2, WeightFormat::kMinMax); }
WHERRY_RUN(BlockLSTMV2_f32_wmm) { return RunLstm<FloatProducts>(context, kBlockLstmV2, math::MinMaxPanels(context.isa())); }
#endif

}  // namespace wherry::kernels
