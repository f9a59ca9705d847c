// plan_residency: the runtime's plan of what stays in memory, for predictions about devices that are not this one.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <stdexcept>
#include <utility>
#include <vector>

#include "bindings/python/bindings.h"
#include "runtime/residency.h"
#include "runtime/streamer.h"

namespace py = pybind11;

namespace wherry::python {
namespace {

// For weights that are read from storage. uses: (step, segment) in the order of steps. Returns seconds of a run, bytes of the window, bytes that stay, bytes that
// every run reads, and for each segment whether it stays.
py::tuple Plan(const std::vector<std::pair<uint32_t, uint32_t>>& uses, const std::vector<uint64_t>& segment_bytes,
               std::vector<double> step_seconds, double bytes_per_second, double seconds_per_read, uint64_t limit) {
  ResidencyProblem problem;
  Streamer::SetLimits(limit, false, &problem);
  std::vector<uint64_t> needs(step_seconds.size());
  for (const auto& [step, segment] : uses) {
    if (step >= step_seconds.size() || segment >= segment_bytes.size()) throw std::out_of_range("no such step or segment");
    needs[step] += segment_bytes[segment] + problem.window_extra;
  }
  // What a step needs beyond the limit is read where the arena has room, when the step begins.
  std::vector<WeightUse> list;
  uint64_t elsewhere = 0;
  for (const auto& [step, segment] : uses) {
    if (needs[step] <= limit) {
      list.push_back({step, segment});
      continue;
    }
    elsewhere += segment_bytes[segment];
    step_seconds[step] += static_cast<double>(segment_bytes[segment]) / bytes_per_second + seconds_per_read;
  }
  problem.uses = {list.data(), list.size()};
  problem.segment_bytes = {segment_bytes.data(), segment_bytes.size()};
  problem.step_seconds = {step_seconds.data(), step_seconds.size()};
  problem.io = {bytes_per_second, seconds_per_read};
  ResidencyPlan plan;
  if (!PlanResidency(problem, &plan)) throw std::bad_alloc();
  std::vector<bool> stays(plan.stays.begin(), plan.stays.end());
  if (list.empty()) {
    for (const double seconds : step_seconds) plan.seconds += seconds;
  }
  return py::make_tuple(plan.seconds, plan.window_bytes, plan.resident_bytes, plan.streamed_bytes + elsewhere, stays);
}

}  // namespace

void BindResidency(py::module_& module) {
  module.def("plan_residency", &Plan, py::arg("uses"), py::arg("segment_bytes"), py::arg("step_seconds"),
             py::arg("bytes_per_second"), py::arg("seconds_per_read"), py::arg("limit"));
}

}  // namespace wherry::python
