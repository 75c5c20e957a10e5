// The parts of ECharts that the scripts of a report use. What is not imported here is not in the built file.
import { init, getInstanceByDom, use } from "echarts/core";
import { CustomChart, LineChart, ParallelChart, ScatterChart } from "echarts/charts";
import {
  DataZoomInsideComponent,
  DataZoomSliderComponent,
  GridComponent,
  LegendScrollComponent,
  ParallelComponent,
  TooltipComponent,
} from "echarts/components";
import { CanvasRenderer } from "echarts/renderers";

use([
  CustomChart, LineChart, ParallelChart, ScatterChart,
  DataZoomInsideComponent, DataZoomSliderComponent, GridComponent, LegendScrollComponent, ParallelComponent,
  TooltipComponent,
  CanvasRenderer,
]);

export { init, getInstanceByDom };
