// BlockLSTM: an LSTM over a sequence, gates in the order i, ci, f, o.
#include "kernels/rnn/lstm.h"
#include "kernels/rnn/lstm_float28.h"

namespace wherry::kernels {
namespace {

[[maybe_unused]] constexpr LstmOp kBlockLstm{true, {0, 1, 2, 3}, 1.0F, 3.0F};

}  // namespace

#if WHERRY_SELECTED(BlockLSTM_f32_di8)
WHERRY_PREPARE(BlockLSTM_f32_di8) { return PrepareLstm<CodeProducts>(context, kBlockLstm, WeightFormat::kInt8); }
WHERRY_RUN(BlockLSTM_f32_di8) { return RunLstm<CodeProducts>(context, kBlockLstm, nullptr); }
#endif

#if WHERRY_SELECTED(BlockLSTM_f32_wf16)
WHERRY_PREPARE(BlockLSTM_f32_wf16) { return PrepareLstm<FloatProducts>(context, kBlockLstm, WeightFormat::kFloat16); }
WHERRY_RUN(BlockLSTM_f32_wf16) { return RunLstm<FloatProducts>(context, kBlockLstm, math::Float16Panels(context.isa())); }
#endif

#if WHERRY_SELECTED(BlockLSTM_f32_wf28)
WHERRY_PREPARE(BlockLSTM_f32_wf28) { return PrepareLstm<Float28Products>(context, kBlockLstm, WeightFormat::kFloat28); }
WHERRY_RUN(BlockLSTM_f32_wf28) { return RunFloat28Lstm(context, kBlockLstm); }
#endif

#if WHERRY_SELECTED(BlockLSTM_f32_wf32)
WHERRY_PREPARE(BlockLSTM_f32_wf32) { return PrepareLstm<FloatProducts>(context, kBlockLstm, WeightFormat::kPlain); }
WHERRY_RUN(BlockLSTM_f32_wf32) { return RunLstm<FloatProducts>(context, kBlockLstm, nullptr); }
#endif

#if WHERRY_SELECTED(BlockLSTM_f32_wi8)
WHERRY_PREPARE(BlockLSTM_f32_wi8) { return PrepareLstm<FloatProducts>(context, kBlockLstm, WeightFormat::kInt8); }
WHERRY_RUN(BlockLSTM_f32_wi8) { return RunLstm<FloatProducts>(context, kBlockLstm, math::Int8Panels(context.isa())); }
#endif

#if WHERRY_SELECTED(BlockLSTM_f32_wmm)
WHERRY_PREPARE(BlockLSTM_f32_wmm) { return PrepareLstm<FloatProducts>(context, kBlockLstm, WeightFormat::kMinMax); }
WHERRY_RUN(BlockLSTM_f32_wmm) { return RunLstm<FloatProducts>(context, kBlockLstm, math::MinMaxPanels(context.isa())); }
#endif

}  // namespace wherry::kernels
