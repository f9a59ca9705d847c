// LSTMBlockCell: one step of an LSTM, gates in the order i, ci, f, o.
#include "kernels/rnn/lstm.h"

namespace wherry::kernels {
namespace {

[[maybe_unused]] constexpr LstmOp kLstmBlockCell{false, {0, 1, 2, 3}, 1.0F, 3.0F};

}  // namespace

#if WHERRY_SELECTED(LSTMBlockCell_f32_di8)
WHERRY_PREPARE(LSTMBlockCell_f32_di8) { return PrepareLstm<CodeProducts>(context, kLstmBlockCell, WeightFormat::kInt8); }
WHERRY_RUN(LSTMBlockCell_f32_di8) { return RunLstm<CodeProducts>(context, kLstmBlockCell, nullptr); }
#endif

#if WHERRY_SELECTED(LSTMBlockCell_f32_wf16)
WHERRY_PREPARE(LSTMBlockCell_f32_wf16) { return PrepareLstm<FloatProducts>(context, kLstmBlockCell, WeightFormat::kFloat16); }
WHERRY_RUN(LSTMBlockCell_f32_wf16) { return RunLstm<FloatProducts>(context, kLstmBlockCell, math::Float16Panels(context.isa())); }
#endif

#if WHERRY_SELECTED(LSTMBlockCell_f32_wf32)
WHERRY_PREPARE(LSTMBlockCell_f32_wf32) { return PrepareLstm<FloatProducts>(context, kLstmBlockCell, WeightFormat::kPlain); }
WHERRY_RUN(LSTMBlockCell_f32_wf32) { return RunLstm<FloatProducts>(context, kLstmBlockCell, nullptr); }
#endif

#if WHERRY_SELECTED(LSTMBlockCell_f32_wi8)
WHERRY_PREPARE(LSTMBlockCell_f32_wi8) { return PrepareLstm<FloatProducts>(context, kLstmBlockCell, WeightFormat::kInt8); }
WHERRY_RUN(LSTMBlockCell_f32_wi8) { return RunLstm<FloatProducts>(context, kLstmBlockCell, math::Int8Panels(context.isa())); }
#endif

#if WHERRY_SELECTED(LSTMBlockCell_f32_wmm)
WHERRY_PREPARE(LSTMBlockCell_f32_wmm) { return PrepareLstm<FloatProducts>(context, kLstmBlockCell, WeightFormat::kMinMax); }
WHERRY_RUN(LSTMBlockCell_f32_wmm) { return RunLstm<FloatProducts>(context, kLstmBlockCell, math::MinMaxPanels(context.isa())); }
#endif

}  // namespace wherry::kernels
