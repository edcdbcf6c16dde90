/** The types of the addon that layers above tensors need: lib/tensor alone imports lib/native. */
export type {
  ActivationDType,
  DType,
  HostArray,
  MachineRates,
  MemoryStatistics,
  SamplingNeeds,
  TensorHandle,
  WeightDType,
  DotDType,
} from '../native/binding';
